import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import type { OvsStatus, PortRates } from '../core/model.ts'
import { run } from '../platform/exec.ts'
import { mapOf, parseRows, textOf, type OvsRow } from './ovsdb-rows.ts'

const TIMEOUT_MS = 10_000
const PACKAGE = 'openvswitch-switch'
const NO_BRIDGE = 2
/** Marks rows of ours, with the id of the port. */
const MARK = 'limiquantix-port'
const INTERFACE_COLUMNS = ['name', 'external_ids', 'admin_state', 'link_state', 'ofport', 'error', 'statistics']

/** An interface of Open vSwitch that libvirt has plugged in for a VM. */
export interface OvsInterface {
  /** Of the interface and of its port. */
  readonly name: string
  readonly vmId: string
  readonly macAddress: string
  readonly up: boolean
  /** Why it does not work, in the words of Open vSwitch; empty when it does. */
  readonly error: string
  /** As Open vSwitch counts: received is what the guest sent. */
  readonly statistics: {
    readonly rxBytes: number
    readonly txBytes: number
    readonly rxPackets: number
    readonly txPackets: number
  }
}

/**
 * Open vSwitch on this host, by ovs-vsctl, which asks the database and waits for no switch. Errors of every method: OVS_ABSENT where it is not installed, OVS_UNAVAILABLE where its database does not
 * answer, COMMAND_FAILED.
 */
export class OpenVswitch {
  /** What is there; never throws but for `signal`. */
  async status(signal: AbortSignal): Promise<OvsStatus> {
    let rows: OvsRow[]
    try {
      rows = await this.#rows('Open_vSwitch', ['ovs_version', 'external_ids'], [], signal)
    } catch (error) {
      signal.throwIfAborted()
      return { ...NOTHING, problem: errorText(error) }
    }
    const [row] = rows
    if (row === undefined) return { ...NOTHING, problem: 'the database of Open vSwitch is empty' }
    const ids = mapOf(row, 'external_ids')
    return {
      available: true,
      problem: '',
      version: textOf(row, 'ovs_version'),
      integrationBridge: ids.get('ovn-bridge') ?? DEFAULT_BRIDGE,
      encapType: ids.get('ovn-encap-type') ?? '',
      encapIp: ids.get('ovn-encap-ip') ?? '',
      chassisId: ids.get('system-id') ?? '',
      ovnConnected: ids.has('ovn-remote') && (await isOvnConnected(signal)),
    }
  }

  /** NETWORK_UNKNOWN when there is no such bridge. */
  async requireBridge(bridge: string, signal: AbortSignal): Promise<void> {
    if (await this.#hasBridge(bridge, signal)) return
    throw new AgentError(
      'NETWORK_UNKNOWN',
      `Open vSwitch has no bridge ${bridge} on this host; create it or name another one`,
    )
  }

  /** The interfaces of VMs. */
  async interfaces(signal: AbortSignal): Promise<OvsInterface[]> {
    const rows = await this.#rows('Interface', INTERFACE_COLUMNS, [], signal)
    return rows.flatMap((row) => {
      const ids = mapOf(row, 'external_ids')
      const [vmId, macAddress] = [ids.get('vm-id'), ids.get('attached-mac')]
      return vmId === undefined || macAddress === undefined ? [] : [toInterface(row, vmId, macAddress.toLowerCase())]
    })
  }

  /** Gives an interface its id for OVN, and its limits, in place of those it had. One transaction; the same again changes nothing that matters. */
  async settle(
    name: string,
    portId: string,
    interfaceId: string,
    rates: PortRates,
    signal: AbortSignal,
  ): Promise<void> {
    const { ingressKbps, ingressBurstKb, egressKbps, egressBurstKb } = rates
    const limit = [
      `max-rate=${ingressKbps * 1000}`,
      ...(ingressBurstKb === 0 ? [] : [`burst=${ingressBurstKb * 1000}`]),
    ]
    const limits = limit.map((one) => `other_config:${one}`)
    await this.#change(
      [
        ['set', 'Interface', name, `external_ids:iface-id=${JSON.stringify(interfaceId)}`],
        // Policing is of what the switch takes in, which is what the guest sends.
        ['set', 'Interface', name, `ingress_policing_rate=${egressKbps}`, `ingress_policing_burst=${egressBurstKb}`],
        ['clear', 'Port', name, 'qos'],
        ...(await this.#forgetting(portId, signal)),
        ...(ingressKbps === 0
          ? []
          : [
              ['--id=@queue', 'create', 'Queue', `external_ids:${MARK}=${portId}`, ...limits],
              [
                '--id=@qos',
                'create',
                'QoS',
                'type=linux-htb',
                `external_ids:${MARK}=${portId}`,
                'queues:0=@queue',
                ...limits,
              ],
              ['set', 'Port', name, 'qos=@qos'],
            ]),
      ],
      signal,
    )
  }

  /** Takes away what `settle` has left of a port; `name` when it is plugged in. The id for OVN goes with the interface. */
  async forget(portId: string, name: string | undefined, signal: AbortSignal): Promise<void> {
    const unlimited =
      name === undefined
        ? []
        : [
            ['clear', 'Port', name, 'qos'],
            ['set', 'Interface', name, 'ingress_policing_rate=0', 'ingress_policing_burst=0'],
          ]
    const forgetting = await this.#forgetting(portId, signal)
    if (unlimited.length + forgetting.length > 0) await this.#change([...unlimited, ...forgetting], signal)
  }

  // Rows of these tables outlive the port that refers to them.
  async #forgetting(portId: string, signal: AbortSignal): Promise<string[][]> {
    const found: string[][] = []
    for (const table of ['QoS', 'Queue']) {
      const rows = await this.#rows(table, ['_uuid'], [`external_ids:${MARK}=${portId}`], signal)
      found.push(...rows.map((row) => ['--if-exists', 'destroy', table, textOf(row, '_uuid')]))
    }
    return found
  }

  async #hasBridge(bridge: string, signal: AbortSignal): Promise<boolean> {
    const { exitCode } = await this.#run(['br-exists', bridge], signal, [NO_BRIDGE])
    return exitCode === 0
  }

  async #rows(table: string, columns: readonly string[], conditions: readonly string[], signal: AbortSignal) {
    const words = conditions.length === 0 ? ['list', table] : ['find', table, ...conditions]
    const { stdout } = await this.#run(['--format=json', `--columns=${columns.join(',')}`, ...words], signal)
    return stdout.trim() === '' ? [] : parseRows(stdout)
  }

  async #change(commands: readonly (readonly string[])[], signal: AbortSignal): Promise<void> {
    await this.#run(commands.flatMap((words) => ['--', ...words]).slice(1), signal)
  }

  async #run(words: readonly string[], signal: AbortSignal, okCodes: readonly number[] = []) {
    // The database changes at once; a switch that hangs follows when it can.
    const args = ['--no-wait', `--timeout=${TIMEOUT_MS / 1000 - 2}`, ...words]
    try {
      return await run({ file: 'ovs-vsctl', args, package: PACKAGE, timeoutMs: TIMEOUT_MS, okCodes }, signal)
    } catch (error) {
      if (isAgentError(error, 'COMMAND_MISSING')) {
        const text = `Open vSwitch is not installed on this host; install the package ${PACKAGE} to have ports of it`
        throw new AgentError('OVS_ABSENT', text, { cause: error })
      }
      if (isAgentError(error, 'DEADLINE_EXCEEDED') || /database connection failed|Alarm clock/.test(errorText(error))) {
        const text = 'Open vSwitch does not answer; see whether ovsdb-server runs (systemctl status openvswitch-switch)'
        throw new AgentError('OVS_UNAVAILABLE', text, { cause: error })
      }
      throw error
    }
  }
}

const DEFAULT_BRIDGE = 'br-int'
const NOTHING: OvsStatus = {
  available: false,
  problem: '',
  version: '',
  integrationBridge: '',
  encapType: '',
  encapIp: '',
  chassisId: '',
  ovnConnected: false,
}

async function isOvnConnected(signal: AbortSignal): Promise<boolean> {
  const args = ['--timeout=5', '-t', 'ovn-controller', 'connection-status']
  try {
    return (await run({ file: 'ovn-appctl', args, timeoutMs: TIMEOUT_MS }, signal)).stdout.trim() === 'connected'
  } catch {
    signal.throwIfAborted()
    // Not installed, or it does not run.
    return false
  }
}

function toInterface(row: OvsRow, vmId: string, macAddress: string): OvsInterface {
  const statistics = mapOf(row, 'statistics')
  const count = (name: string) => Number(statistics.get(name) ?? 0)
  return {
    name: textOf(row, 'name'),
    vmId,
    macAddress,
    up: row['admin_state'] === 'up' && row['link_state'] === 'up',
    error: textOf(row, 'error') || (row['ofport'] === -1 ? 'Open vSwitch cannot open the interface' : ''),
    statistics: {
      rxBytes: count('rx_bytes'),
      txBytes: count('tx_bytes'),
      rxPackets: count('rx_packets'),
      txPackets: count('tx_packets'),
    },
  }
}
