import { isAgentError } from '../core/errors.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_AFFECT, VIR_DOMAIN_XML } from '../libvirt/constants.ts'
import { LibvirtGone, LibvirtTimeout } from '../libvirt/errors.ts'
import type { PowerState } from '../core/model.ts'
import { parseDomain, type DomainFacts } from './domain-info.ts'
import { domainRef, isOff, readDomainXml, readPowerState, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError, vmNotFound } from './libvirt-errors.ts'
import { readXml, type XmlElement } from './read-xml.ts'

/** One half of a domain: its devices as XML and as facts. */
export interface DomainHalf {
  readonly xml: XmlElement
  readonly facts: DomainFacts
}

/** A domain as it runs (`live`, absent while it is off) and as it will be at its next start (`config`). */
export interface DomainHalves {
  readonly state: PowerState
  readonly live: DomainHalf | undefined
  readonly config: DomainHalf
}

const RECONNECT_WAIT_MS = 20_000

/** Reads both halves. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function readHalves(libvirt: LibvirtCalls, vmId: string, signal: AbortSignal): Promise<DomainHalves> {
  const half = async (flags: number): Promise<DomainHalf> => {
    const xml = await readDomainXml(libvirt, domainRef(vmId), vmId, signal, flags)
    if (xml === undefined) throw vmNotFound(vmId)
    return { xml: readXml(xml), facts: parseDomain(xml) }
  }
  const state = await readPowerState(libvirt, vmId, signal)
  return { state, live: isOff(state) ? undefined : await half(0), config: await half(VIR_DOMAIN_XML.INACTIVE) }
}

/** virDomainModificationImpact for all halves that there are. */
export function bothHalves({ live }: Pick<DomainHalves, 'live'>): number {
  return VIR_DOMAIN_AFFECT.CONFIG | (live === undefined ? 0 : VIR_DOMAIN_AFFECT.LIVE)
}

/** The disks and CD-ROMs of a half, as XML. */
export function mediaXml({ xml }: DomainHalf): XmlElement[] {
  return xml.first('devices')?.all('disk') ?? []
}

/**
 * Makes a call that changes a domain. When the connection breaks under it, so that nobody knows what became of it, it is made once more after the reconnect unless `isDone` says
 * then that it was: only for calls that may be repeated. Errors: VM_NOT_FOUND, LIBVIRT_*.
 */
export async function changeHalves(
  client: Pick<LibvirtClient, 'call' | 'ready'>,
  vmId: string,
  call: () => Promise<unknown>,
  isDone: (halves: DomainHalves) => boolean,
): Promise<void> {
  try {
    await call()
  } catch (error) {
    const unknown = (error instanceof LibvirtGone || error instanceof LibvirtTimeout) && error.outcomeUnknown
    if (!unknown) throw vmError(error, vmId)
    try {
      await client.ready(AbortSignal.timeout(RECONNECT_WAIT_MS))
    } catch {
      throw vmError(error, vmId)
    }
    if (isDone(await readHalves(client, vmId, AbortSignal.timeout(RECONNECT_WAIT_MS)))) return
    await call().catch((again: unknown) => Promise.reject(vmError(again, vmId)))
  }
}

/** Does work that may be repeated; when the connection breaks under it, once more after the reconnect. */
export async function onceMore(client: Pick<LibvirtClient, 'ready'>, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isAgentError(error, 'LIBVIRT_OUTCOME_UNKNOWN')) throw error
    await client.ready(AbortSignal.timeout(RECONNECT_WAIT_MS)).catch(() => Promise.reject(error))
    await work()
  }
}
