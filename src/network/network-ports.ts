import type { Logger } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { NetworkPort, NetworkPortSpec, OvsStatus } from '../core/model.ts'
import type { StateCollection } from '../platform/state-store.ts'
import type { OpenVswitch, OvsInterface } from './open-vswitch.ts'

export interface NetworkPortParts {
  readonly ovs: OpenVswitch
  readonly store: StateCollection<NetworkPortSpec>
  /** DomainInventory: says that something about a VM has changed. */
  readonly vms: { onChange(listener: (vmId: string) => void): () => void }
  readonly log: Logger
}

const UNPLUGGED = { rxBytes: 0, txBytes: 0, rxPackets: 0, txPackets: 0 }
const SETTLE_TIMEOUT_MS = 30_000

/**
 * Ports of Open vSwitch as the control plane wants them. libvirt plugs a NIC in when its VM starts and takes it out when it stops; this gives the interface that is then there the id by which OVN knows
 * the port, and its limits, at every start. A port belongs to the NIC of its VM that has its MAC address. Errors of every method: OVS_ABSENT, OVS_UNAVAILABLE.
 */
export class NetworkPorts {
  readonly #parts: NetworkPortParts
  readonly #ports = new Map<string, NetworkPortSpec>()
  readonly #locks = new KeyedLock()
  readonly #ended = new AbortController()
  #stopListening: (() => void) | undefined

  constructor(parts: NetworkPortParts) {
    this.#parts = parts
  }

  /** Reads what was configured. */
  async load(): Promise<void> {
    for (const [portId, port] of await this.#parts.store.entries()) this.#ports.set(portId, port)
  }

  /** Looks after the ports from now on, those of VMs that run included. */
  start(): void {
    this.#stopListening = this.#parts.vms.onChange((vmId) => {
      for (const port of this.#ports.values()) if (port.vmId === vmId) this.#settleLater(port.portId)
    })
    for (const portId of this.#ports.keys()) this.#settleLater(portId)
  }

  stop(): void {
    this.#stopListening?.()
    this.#ended.abort(new AgentError('SHUTTING_DOWN', 'the agent is stopping'))
  }

  /** Never throws but for `signal`. */
  status(signal: AbortSignal): Promise<OvsStatus> {
    return this.#parts.ovs.status(signal)
  }

  /** Keeps a port and settles it if it is plugged in. The same again is success, another one of that id replaces it. NETWORK_UNKNOWN without the integration bridge, CONFLICT when another port has its NIC. */
  async configure(port: NetworkPortSpec, signal: AbortSignal): Promise<NetworkPort> {
    const { ovs, store } = this.#parts
    const bridge = await this.#bridge(signal)
    await ovs.requireBridge(bridge, signal)
    // One NIC, one port: nobody else may claim it between the look and the record.
    return this.#locks.runAll([port.portId, `nic ${port.vmId} ${port.macAddress}`], signal, async () => {
      for (const other of this.#ports.values()) {
        if (other.portId === port.portId || other.vmId !== port.vmId || other.macAddress !== port.macAddress) continue
        throw new AgentError(
          'CONFLICT',
          `network port ${quote(port.portId)}: VM ${port.vmId} has port ${quote(other.portId)} at MAC address ${port.macAddress}; delete that one first`,
        )
      }
      const before = this.#ports.get(port.portId)
      await store.put(port.portId, port)
      this.#ports.set(port.portId, port)
      if (before !== undefined && (before.vmId !== port.vmId || before.macAddress !== port.macAddress)) {
        await ovs.forget(port.portId, interfaceOf(before, await ovs.interfaces(signal))?.name, signal)
      }
      return this.#settle(port, bridge, signal)
    })
  }

  /** Forgets a port and its limits; the NIC stays. Success when there is none. CONFLICT when it is that of another VM. */
  async delete(portId: string, vmId: string | undefined, signal: AbortSignal): Promise<void> {
    const { ovs, store } = this.#parts
    await this.#locks.run(portId, signal, async () => {
      const port = this.#ports.get(portId)
      if (port === undefined) return
      if (vmId !== undefined && vmId !== port.vmId) {
        throw new AgentError('CONFLICT', `network port ${quote(portId)} belongs to VM ${port.vmId}, not to ${vmId}`)
      }
      try {
        await ovs.forget(portId, interfaceOf(port, await ovs.interfaces(signal))?.name, signal)
      } catch (error) {
        // With Open vSwitch its settings have gone.
        if (!isAgentError(error, 'OVS_ABSENT')) throw error
      }
      await store.delete(portId)
      this.#ports.delete(portId)
    })
  }

  /** NETWORK_PORT_NOT_FOUND. */
  async get(portId: string, signal: AbortSignal): Promise<NetworkPort> {
    const port = this.#ports.get(portId)
    if (port === undefined)
      throw new AgentError('NETWORK_PORT_NOT_FOUND', `this host has no network port ${quote(portId)}`)
    const { ovs } = this.#parts
    return seen(port, await this.#bridge(signal), interfaceOf(port, await ovs.interfaces(signal)))
  }

  /** All ports, by id. */
  async list(signal: AbortSignal): Promise<NetworkPort[]> {
    const bridge = await this.#bridge(signal)
    const interfaces = await this.#parts.ovs.interfaces(signal)
    return [...this.#ports.values()]
      .toSorted((a, b) => (a.portId < b.portId ? -1 : 1))
      .map((port) => seen(port, bridge, interfaceOf(port, interfaces)))
  }

  async #bridge(signal: AbortSignal): Promise<string> {
    const { ovs } = this.#parts
    const { available, integrationBridge } = await ovs.status(signal)
    // Says why it is not.
    if (!available) await ovs.interfaces(signal)
    return integrationBridge
  }

  #settleLater(portId: string): void {
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(SETTLE_TIMEOUT_MS)])
    const work = this.#locks.run(portId, signal, async () => {
      const port = this.#ports.get(portId)
      if (port !== undefined) await this.#settle(port, '', signal)
    })
    work.catch((error: unknown) => {
      if (this.#ended.signal.aborted) return
      this.#parts.log.warn(
        { port: portId, err: errorText(error) },
        'a network port cannot be settled; its limits and its id for OVN may be missing',
      )
    })
  }

  async #settle(port: NetworkPortSpec, bridge: string, signal: AbortSignal): Promise<NetworkPort> {
    const { ovs } = this.#parts
    const found = interfaceOf(port, await ovs.interfaces(signal))
    if (found === undefined) await ovs.forget(port.portId, undefined, signal)
    else await ovs.settle(found.name, port.portId, port.ovnPortName || port.portId, port.rates, signal)
    return seen(port, bridge, found)
  }
}

function interfaceOf(port: NetworkPortSpec, interfaces: readonly OvsInterface[]): OvsInterface | undefined {
  return interfaces.find(({ vmId, macAddress }) => vmId === port.vmId && macAddress === port.macAddress)
}

function seen(port: NetworkPortSpec, bridge: string, found: OvsInterface | undefined): NetworkPort {
  const phase = found === undefined ? 'PENDING' : found.error !== '' ? 'ERROR' : found.up ? 'ACTIVE' : 'DOWN'
  return {
    ...port,
    phase,
    error: found?.error ?? '',
    bridge,
    ovsPortName: found?.name ?? '',
    ...(found?.statistics ?? UNPLUGGED),
  }
}
