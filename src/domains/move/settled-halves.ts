import { VIR_DOMAIN_AFFECT } from '../../libvirt/constants.ts'
import { readHalves, type DomainHalves } from '../domain-halves.ts'
import { domainRef, type LibvirtCalls } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'

/** libvirt itself gives up waiting after 30 s. */
const TURN_TIMEOUT_MS = 60_000

/**
 * Both halves of a VM (readHalves), once no start of it is under way: at the beginning of one libvirt still calls it "off", and gives it the disks that the definition had then. Errors: VM_NOT_FOUND, LIBVIRT_*, LIBVIRT_TIMEOUT when
 * the start takes too long.
 */
export async function readSettledHalves(
  vmId: string,
  libvirt: LibvirtCalls,
  signal: AbortSignal,
): Promise<DomainHalves> {
  const halves = await readHalves(libvirt, vmId, signal)
  if (halves.live !== undefined) return halves
  // The answer (how many parameters there are) is of no interest; the call takes its turn behind a start, which plain reads do not.
  const args = { dom: domainRef(vmId), disk: null, nparams: 0, flags: VIR_DOMAIN_AFFECT.CONFIG }
  await libvirt
    .call('remote:DOMAIN_GET_BLOCK_IO_TUNE', args, { timeoutMs: TURN_TIMEOUT_MS, signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  return readHalves(libvirt, vmId, signal)
}
