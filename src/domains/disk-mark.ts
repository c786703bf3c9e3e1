import { AgentError } from '../core/errors.ts'
import type { DiskResizer } from './disk-resize.ts'
import { domainRef, isOff, readPowerState, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

const TIMEOUT_MS = 30_000

export interface DiskMarkParts {
  readonly libvirt: LibvirtCalls
  readonly disks: Pick<DiskResizer, 'findOn'>
}

/**
 * Sets a mark on a disk of a running VM: when the guest writes past that byte of the volume, BLOCK_THRESHOLD is told, once. 0 takes it away; it goes with the run of the VM. VM_NOT_FOUND, VM_NOT_MANAGED, DISK_NOT_FOUND,
 * VM_STATE_CONFLICT, LIBVIRT_*.
 */
export async function setDiskMark(
  { libvirt, disks }: DiskMarkParts,
  { vmId, name, bytes }: { readonly vmId: string; readonly name: string; readonly bytes: number },
  signal: AbortSignal,
): Promise<void> {
  const { disk } = await disks.findOn(vmId, name, signal)
  if (isOff(await readPowerState(libvirt, vmId, signal)))
    throw new AgentError('VM_STATE_CONFLICT', `VM ${vmId} is off; a mark on a disk can only be set while the VM runs`)
  try {
    await libvirt.call(
      'remote:DOMAIN_SET_BLOCK_THRESHOLD',
      { dom: domainRef(vmId), dev: disk.targetDev, threshold: BigInt(bytes), flags: 0 },
      { timeoutMs: TIMEOUT_MS, signal },
    )
  } catch (error) {
    throw vmError(error, vmId)
  }
}
