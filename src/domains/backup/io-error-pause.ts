import type { Logger } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import { VIR_DOMAIN_PAUSED, VIR_DOMAIN_STATE, VIR_ERR } from '../../libvirt/constants.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import { domainRef, type LibvirtCalls } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'

const READ_TIMEOUT_MS = 15_000
const RESUME_TIMEOUT_MS = 60_000

/** Whether QEMU has stopped the guest because it could not write or read; false when there is no VM. Errors: LIBVIRT_*. */
export async function isPausedByIoError(vmId: string, libvirt: LibvirtCalls, signal: AbortSignal): Promise<boolean> {
  try {
    const { state, reason } = await libvirt.call(
      'remote:DOMAIN_GET_STATE',
      { dom: domainRef(vmId), flags: 0 },
      { timeoutMs: READ_TIMEOUT_MS, signal },
    )
    return state === VIR_DOMAIN_STATE.PAUSED && reason === VIR_DOMAIN_PAUSED.IOERROR
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return false
    throw vmError(error, vmId)
  }
}

/** Lets a guest go on that QEMU has stopped so, and nobody else: what failed is tried again. One that libvirt does not let go on stays as it is, with a word in the log. Under the lock of the VM. Errors: LIBVIRT_*. */
export async function resumeAfterIoError(
  vmId: string,
  libvirt: LibvirtCalls,
  { signal, log }: { readonly signal: AbortSignal; readonly log: Logger },
): Promise<void> {
  if (!(await isPausedByIoError(vmId, libvirt, signal))) return
  try {
    await libvirt.call('remote:DOMAIN_RESUME', { dom: domainRef(vmId) }, { timeoutMs: RESUME_TIMEOUT_MS, signal })
    log.info({ vm: vmId }, 'the guest goes on, which had stopped at an I/O error')
  } catch (error) {
    if (!isLibvirtError(error)) throw vmError(error, vmId)
    log.warn({ vm: vmId, err: errorText(error) }, 'the guest stays stopped at an I/O error; see to its storage')
  }
}
