import type { Logger, OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import type { NicSpec, VmNic } from '../core/model.ts'
import { VIR_DOMAIN_AFFECT } from '../libvirt/constants.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import { attachDevice } from './attach-device.ts'
import type { NicDefinition } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import type { RemovalParts } from './device-removal.ts'
import { nicElement, pluggedNic, unplugDevice } from './device-unplug.ts'
import { bothHalves, changeHalves, onceMore, readHalves, type DomainHalf, type DomainHalves } from './domain-halves.ts'
import type { DomainFacts, DomainNic } from './domain-info.ts'
import { changeVm } from './exclusive.ts'
import { domainRef } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { editMetadata, withEntry, withoutEntry } from './metadata-edit.ts'
import { planNic, requireNetwork, sourceName } from './networks.ts'
import { bandwidthXml, nicXml } from './nic-xml.ts'
import { toNode, type XmlElement } from './read-xml.ts'
import { checkNic } from './vm-spec.ts'

/** What is to change of a NIC; what is absent stays. */
export interface NicChange {
  readonly linkUp?: boolean
  /** Megabits (10^6) per second in each direction; 0 = unlimited. */
  readonly bandwidthMbps?: number
}

export interface NicChangerParts {
  readonly deps: DomainDeps
  readonly removal: RemovalParts
  /** Those of the OperationManager. */
  readonly locks: KeyedLock
  readonly log: Logger
}

const UPDATE_TIMEOUT_MS = 60_000

/** Adds NICs to VMs and changes them, in the running guest and for its next start alike. */
export class NicChanger {
  readonly #parts: NicChangerParts

  constructor(parts: NicChangerParts) {
    this.#parts = parts
  }

  /** The NICs of a VM, as they are in the running guest. Errors: VM_NOT_FOUND, LIBVIRT_*. */
  async list(vmId: string, signal: AbortSignal): Promise<VmNic[]> {
    const { facts } = await this.#parts.removal.inventory.entry(vmId, signal)
    return [...facts.nics]
  }

  /**
   * Adds a NIC on the network that the request means (`nicTarget`). The same NIC again is success. Errors: VM_NOT_FOUND, VM_NOT_MANAGED, VM_SPEC_INVALID, CONFLICT (another NIC has its id or
   * MAC address), NETWORK_UNKNOWN, HOTPLUG_UNSUPPORTED, LIBVIRT_*.
   */
  async attach(vmId: string, given: NicSpec, signal: AbortSignal): Promise<VmNic> {
    const checked = checkNic(given, 'nic', vmId)
    return changeVm(this.#parts, vmId, signal, async (ctx) => {
      const { deps, removal } = this.#parts
      const nic = planNic(checked, deps.config.networks)
      const { macAddress } = nic
      const halves = await readHalves(removal.client, vmId, ctx.signal)
      requireManaged(halves.config.facts)
      refuseOther(halves, nic)
      await requireNetwork(nic.target, deps.libvirt, ctx)
      try {
        await onceMore(removal.client, () => this.#addMissing(vmId, nic, ctx))
      } catch (error) {
        await this.#takeBack(vmId, nic, halves, ctx)
        throw error
      }
      await removal.inventory.settle(vmId)
      return findNic((await readHalves(removal.client, vmId, ctx.signal)).config.facts, macAddress)
    })
  }

  /** Changes the link or the limit of a NIC, named by id or MAC address; the same again is success. Errors: VM_NOT_FOUND, NIC_NOT_FOUND, VM_SPEC_INVALID for a limit that its network has not, LIBVIRT_*. */
  async change(vmId: string, name: string, change: NicChange, signal: AbortSignal): Promise<VmNic> {
    return changeVm(this.#parts, vmId, signal, async (ctx) => {
      const { client, inventory } = this.#parts.removal
      const halves = await readHalves(client, vmId, ctx.signal)
      const { macAddress } = findNic(halves.config.facts, name)
      const { live, config } = halves
      if (live !== undefined) await this.#update(vmId, live, macAddress, change, VIR_DOMAIN_AFFECT.LIVE)
      try {
        await this.#update(vmId, config, macAddress, change, VIR_DOMAIN_AFFECT.CONFIG)
      } catch (error) {
        if (live !== undefined) await this.#update(vmId, live, macAddress, {}, VIR_DOMAIN_AFFECT.LIVE)
        throw error
      }
      await inventory.settle(vmId)
      return findNic((await readHalves(client, vmId, ctx.signal)).config.facts, macAddress)
    })
  }

  // The definition first says what it is: who finds the NIC otherwise would know it by its address alone.
  async #addMissing(vmId: string, nic: NicDefinition, ctx: OpContext): Promise<void> {
    const { deps, removal } = this.#parts
    const halves = await readHalves(removal.client, vmId, ctx.signal)
    const lacks = (half: DomainHalf | undefined) => half !== undefined && nicElement(half, nic.macAddress) === undefined
    const flags =
      (lacks(halves.live) ? VIR_DOMAIN_AFFECT.LIVE : 0) | (lacks(halves.config) ? VIR_DOMAIN_AFFECT.CONFIG : 0)
    if (flags === 0) return
    const note = (text: string) => withEntry(text, 'nics', { id: nic.id, mac: nic.macAddress })
    await editMetadata(deps.libvirt, vmId, bothHalves(halves), note, ctx.signal)
    await attachDevice(vmId, nicXml(nic, undefined), flags, `NIC ${nic.id}`, deps.libvirt)
  }

  // What was in a half before is not ours to take out; our note goes when there is nothing left that it is about.
  async #takeBack(vmId: string, nic: NicDefinition, before: DomainHalves, ctx: OpContext): Promise<void> {
    const { client } = this.#parts.removal
    const had = (half: DomainHalf) => nicElement(half, nic.macAddress) !== undefined
    // A VM that was off and is started meanwhile runs what was defined.
    const added = { live: !had(before.live ?? before.config), config: !had(before.config) }
    if (!added.live && !added.config) return
    try {
      const halves = await readHalves(client, vmId, ctx.signal)
      const found = [halves.live, halves.config].flatMap((half) => half?.facts.nics ?? [])
      const there = found.find(({ macAddress }) => macAddress === nic.macAddress)
      if (there !== undefined) await unplugDevice(vmId, pluggedNic(there), this.#parts.removal, ctx, added)
      if (!added.live || !added.config) return
      const forget = (text: string) => withoutEntry(text, 'nics', nic.macAddress)
      await editMetadata(client, vmId, bothHalves(halves), forget, ctx.signal)
    } catch (error) {
      if (isAgentError(error, 'VM_NOT_FOUND')) return
      ctx.log.error(
        { vm: vmId, nic: nic.id, err: errorText(error) },
        'what is left of a failed attach cannot be removed now',
      )
    }
  }

  async #update(vmId: string, half: DomainHalf, mac: string, change: NicChange, flags: number): Promise<void> {
    const element = nicElement(half, mac)
    if (element === undefined) return
    const { client } = this.#parts.removal
    const args = { dom: domainRef(vmId), xml: writeXml(changed(element, change)), flags }
    const call = () => client.call('remote:DOMAIN_UPDATE_DEVICE_FLAGS', args, { timeoutMs: UPDATE_TIMEOUT_MS })
    // Said twice it is the same: nothing to look up.
    await changeHalves(client, vmId, call, () => false).catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  }
}

function changed(nic: XmlElement, { linkUp, bandwidthMbps }: NicChange): XmlNode {
  const node = toNode(nic, (child) => {
    if (child.name === 'link' && linkUp !== undefined) return false
    if (child.name === 'bandwidth' && bandwidthMbps !== undefined) return false
    return toNode(child)
  })
  const limit = bandwidthXml(bandwidthMbps ?? 0)
  return {
    ...node,
    children: [
      ...(node.children as readonly XmlNode[]),
      ...(linkUp === undefined ? [] : [el('link', { state: linkUp ? 'up' : 'down' })]),
      ...(limit === undefined ? [] : [limit]),
    ],
  }
}

function findNic(facts: DomainFacts, name: string): DomainNic {
  const nic =
    facts.nics.find(({ id }) => id === name) ?? facts.nics.find((one) => one.macAddress === name.toLowerCase())
  if (nic !== undefined) return nic
  throw new AgentError('NIC_NOT_FOUND', `VM ${facts.vmId} has no NIC ${quote(name)}`)
}

function requireManaged({ managed, vmId }: DomainFacts): void {
  if (managed) return
  throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which adds no NICs to it`)
}

function refuseOther({ live, config }: DomainHalves, { id, macAddress, model, target }: NicDefinition): void {
  const network = sourceName(target)
  for (const nic of [live, config].flatMap((half) => half?.facts.nics ?? [])) {
    if (nic.id !== id && nic.macAddress !== macAddress) continue
    if (nic.id === id && nic.macAddress === macAddress && nic.model === model && nic.network === network) continue
    throw new AgentError(
      'CONFLICT',
      `VM ${config.facts.vmId} has another NIC with id ${nic.id} and MAC address ${nic.macAddress}; use another id and address, or detach that one first`,
    )
  }
}
