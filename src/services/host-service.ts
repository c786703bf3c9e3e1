import type { ControlPlaneStatus, HypervisorFacts } from '../core/model.ts'
import type { HostInventory } from '../host/inventory.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { HostIoCounters } from '../host/io-counters.ts'
import type { Telemetry } from '../host/telemetry.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { HostService } from './contracts.ts'

/** What is known of libvirt at this moment, from memory. */
export type HypervisorStatus = Omit<HypervisorFacts, 'name'>

export interface HostServiceOptions {
  /** Version of the agent. */
  readonly version: string
  readonly agentId: string
  readonly inventory: HostInventory
  readonly telemetry: Pick<Telemetry, 'load'>
  readonly io: Pick<HostIoCounters, 'read'>
  /** Called for every question; must answer at once. */
  readonly hypervisor: () => HypervisorStatus
  /** State of the link; undefined without a control plane. Must answer at once. */
  readonly controlPlane: () => ControlPlaneStatus | undefined
  /** Names of what start-up still waits for; empty = ready. */
  readonly waitingFor: () => readonly string[]
}

const HYPERVISOR_NAME = 'libvirt/QEMU'

/** The host's own facts. Uptime counts from this call. */
export function createHostService(options: HostServiceOptions): HostService {
  const startedAt = monotonicMs()
  return {
    health() {
      const { connected, version } = options.hypervisor()
      return {
        healthy: connected,
        version: options.version,
        hypervisor: HYPERVISOR_NAME,
        hypervisorVersion: version,
        uptimeSeconds: Math.floor((monotonicMs() - startedAt) / 1000),
      }
    },
    facts: (signal) => options.inventory.read(signal),
    hypervisor: () => ({ name: HYPERVISOR_NAME, ...options.hypervisor() }),
    load: () => options.telemetry.load(),
    counters: (signal) => abortable(options.io.read(), signal),
    controlPlane: () => options.controlPlane(),
    nodeId: () => options.agentId,
    readiness() {
      const waitingFor = options.waitingFor()
      return { ready: waitingFor.length === 0, waitingFor }
    },
  }
}
