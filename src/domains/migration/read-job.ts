import { VIR_DOMAIN_JOB, VIR_ERR } from '../../libvirt/constants.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import { numberParam, readTypedParams } from '../../libvirt/typed-params.ts'
import { domainRef, type LibvirtCalls } from '../libvirt-domain.ts'

const TIMEOUT_MS = 30_000

/** The job of a VM at this moment: its operation (of virDomainJobOperation), 0 when libvirt does not tell it; undefined when there is none. Errors: those of libvirt. */
export async function readJob(vmId: string, client: LibvirtCalls, signal: AbortSignal): Promise<number | undefined> {
  try {
    const { type, params } = await client.call(
      'remote:DOMAIN_GET_JOB_STATS',
      { dom: domainRef(vmId), flags: 0 },
      { timeoutMs: TIMEOUT_MS, signal, mayOverlap: true },
    )
    return type === VIR_DOMAIN_JOB.NONE ? undefined : (numberParam(readTypedParams(params), 'operation') ?? 0)
  } catch (error) {
    // A VM that is off has no jobs.
    if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID, VIR_ERR.NO_DOMAIN)) return undefined
    throw error
  }
}
