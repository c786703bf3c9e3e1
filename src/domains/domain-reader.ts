import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { PowerState } from '../core/model.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { parseDomain, type DomainFacts } from './domain-info.ts'
import { domainRef, findDomain, isStarting, powerState, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

const READ_TIMEOUT_MS = 15_000

/** A domain as libvirt has it now; `facts` are undefined when its definition cannot be understood. */
export interface DomainReading {
  readonly state: PowerState
  /** Its QEMU is being started: not yet running, and not paused by anybody. An event tells how that ends. */
  readonly isStarting: boolean
  readonly name: string
  readonly facts: DomainFacts | undefined
}

/** State and definition of one domain; undefined only when libvirt says that there is none. Errors: LIBVIRT_*. */
export async function readDomain(libvirt: LibvirtCalls, vmId: string, log: Logger): Promise<DomainReading | undefined> {
  const dom = domainRef(vmId)
  const options = { timeoutMs: READ_TIMEOUT_MS }
  try {
    const { state, reason } = await libvirt.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 }, options)
    const { xml } = await libvirt.call('remote:DOMAIN_GET_XML_DESC', { dom, flags: 0 }, options)
    const facts = tryParse(vmId, xml, log)
    const name = facts?.name ?? (await findDomain(libvirt, vmId, AbortSignal.timeout(READ_TIMEOUT_MS)))?.name ?? ''
    return { state: powerState(state, reason), isStarting: isStarting(state, reason), name, facts }
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return undefined
    throw vmError(error, vmId)
  }
}

// Whatever somebody else put into a domain of his own is no reason to fail.
function tryParse(vmId: string, xml: string, log: Logger): DomainFacts | undefined {
  try {
    return parseDomain(xml)
  } catch (error) {
    log.warn({ vm: vmId, err: errorText(error) }, 'the definition of a domain cannot be understood')
    return undefined
  }
}
