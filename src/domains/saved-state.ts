import type { LibvirtCalls } from './libvirt-domain.ts'
import { domainRef } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

const TIMEOUT_MS = 30_000

/** True when libvirt keeps the memory of a VM that was saved: its next start goes on from there. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function hasSavedState(libvirt: LibvirtCalls, vmId: string, signal: AbortSignal): Promise<boolean> {
  const args = { dom: domainRef(vmId), flags: 0 }
  try {
    const { result } = await libvirt.call('remote:DOMAIN_HAS_MANAGED_SAVE_IMAGE', args, {
      timeoutMs: TIMEOUT_MS,
      signal,
    })
    return result === 1
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/** Forgets the saved memory of a VM, which would be of no use, or do harm, with other disks than it was saved with. False when there is none. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function dropSavedState(libvirt: LibvirtCalls, vmId: string, signal: AbortSignal): Promise<boolean> {
  if (!(await hasSavedState(libvirt, vmId, signal))) return false
  const args = { dom: domainRef(vmId), flags: 0 }
  try {
    await libvirt.call('remote:DOMAIN_MANAGED_SAVE_REMOVE', args, { timeoutMs: TIMEOUT_MS, signal })
  } catch (error) {
    // Started meanwhile, or dropped by somebody else.
    if (await hasSavedState(libvirt, vmId, signal)) throw vmError(error, vmId)
  }
  return true
}
