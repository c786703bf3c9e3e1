import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_AFFECT, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError, LibvirtGone, LibvirtTimeout } from '../libvirt/errors.ts'
import { uuidText } from '../libvirt/uuid.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import type { DomainFacts } from './domain-info.ts'
import { readHalves } from './domain-halves.ts'
import type { DomainInventory } from './inventory.ts'
import { waitForDomain } from './inventory-wait.ts'
import { domainRef, isOff } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { toNode, type XmlElement } from './read-xml.ts'

/** What taking a device out of a running guest needs. */
export interface RemovalParts {
  readonly client: Pick<LibvirtClient, 'call' | 'ready' | 'subscribe'>
  readonly inventory: Pick<DomainInventory, 'entry' | 'onChange' | 'settle'>
  /** How long a guest has to let a device go; default 30 s. */
  readonly releaseMs?: number
}

/** A device of a running guest. */
export interface LiveDevice {
  readonly vmId: string
  /** For people: `disk data (vdb)`. */
  readonly what: string
  /** Its element in the live XML. */
  readonly xml: XmlElement
  readonly isThere: (facts: DomainFacts) => boolean
}

const RELEASE_MS = 30_000
const DETACH_TIMEOUT_MS = 60_000

/**
 * Takes a device out of a running guest and returns when it is out: libvirt's answer alone only means that the guest was asked. Success when it is out, or the VM is off. DETACH_TIMEOUT when
 * the guest does not let it go in time, DETACH_REFUSED when it says so: it is then still in use. Errors: VM_NOT_FOUND, LIBVIRT_*.
 */
export async function removeLive(device: LiveDevice, parts: RemovalParts, ctx: OpContext): Promise<void> {
  const { vmId, what, isThere } = device
  const { client, inventory, releaseMs = RELEASE_MS } = parts
  const alias = device.xml.first('alias')?.attribute('name')
  const refused = new AbortController()
  const unsubscribe = await client.subscribe('domain:DEVICE_REMOVAL_FAILED', ({ dom, devAlias }) => {
    if (uuidText(dom.uuid) !== vmId || devAlias !== alias) return
    refused.abort(
      new AgentError('DETACH_REFUSED', `VM ${vmId}: the guest refuses to let ${what} go; it stays attached`),
    )
  })
  const deadline = AbortSignal.timeout(releaseMs)
  try {
    await ask(device, client)
    await inventory.settle(vmId)
    const isOut = ({ facts, state }: { facts: DomainFacts; state: Parameters<typeof isOff>[0] }) =>
      isOff(state) || !isThere(facts)
    await waitForDomain(inventory, vmId, isOut, AbortSignal.any([deadline, refused.signal, ctx.signal]))
  } catch (error) {
    if (!deadline.aborted) throw error
    const { live } = await readHalves(client, vmId, ctx.signal)
    if (live === undefined || !isThere(live.facts)) return
    throw new AgentError(
      'DETACH_TIMEOUT',
      `VM ${vmId}: the guest did not let ${what} go within ${releaseMs / 1000} s; it stays attached. Repeat this when the guest is up and does not use it, or while the VM is off`,
    )
  } finally {
    unsubscribe().catch((error: unknown) => ctx.log.debug({ err: errorText(error) }, 'could not deregister an event'))
  }
}

async function ask({ vmId, xml }: LiveDevice, client: RemovalParts['client']): Promise<void> {
  const args = { dom: domainRef(vmId), xml: writeXml(toNode(xml)), flags: VIR_DOMAIN_AFFECT.LIVE }
  try {
    await client.call('remote:DOMAIN_DETACH_DEVICE_FLAGS', args, { timeoutMs: DETACH_TIMEOUT_MS })
  } catch (error) {
    // Whether it took effect shows in the domain, also after a reconnect.
    if ((error instanceof LibvirtGone || error instanceof LibvirtTimeout) && error.outcomeUnknown) return
    // Gone meanwhile, or an earlier request has still to be answered by the guest.
    if (isLibvirtError(error, VIR_ERR.DEVICE_MISSING, VIR_ERR.OPERATION_INVALID)) return
    if (isLibvirtError(error) && error.message.includes('in the process of unplug')) return
    throw vmError(error, vmId)
  }
}
