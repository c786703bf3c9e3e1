import { z } from 'zod'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText, isAgentError, toAgentError } from '../core/errors.ts'
import { MIB } from '../core/bytes.ts'
import type { PowerState, VmInfo } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { retryAfterMs, type ConnectClient } from '../platform/connect-client.ts'
import { backoffMs } from './backoff.ts'
import { Alarm, type Pace } from './pace.ts'
import { isRealId } from './state-report.ts'

/** The VMs of this host. `list` throws LIBVIRT_UNAVAILABLE while nobody knows them. */
export interface VmSource {
  list(): readonly VmInfo[]
  /** Calls `listener` at every change of any VM, the first listing included; returns how to stop that. */
  onChange(listener: () => void): () => void
}

export interface VmSyncOptions {
  readonly client: ConnectClient
  readonly vms: VmSource
  /** Tell about domains that the agent did not make: control planes then import them into a project. */
  readonly importForeign: boolean
  readonly pace: Pace
  readonly log: Logger
}

/** One VM in SyncNodeVMs (contract 3.3). */
export interface SyncedVm {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly cpuCores: number
  readonly memoryMib: number
  readonly diskPaths: readonly string[]
}

const SYNC_NODE_VMS = 'limiquantix.compute.v1.NodeService/SyncNodeVMs'
const SYNC_TIMEOUT_MS = 15_000
/** Changes come in bursts (define, start, devices), and a VM whose creation fails is gone again soon. */
const SETTLE_MS = 2_000

const STATES: Readonly<Record<PowerState, string | undefined>> = {
  // To a control plane anything it does not know is "stopped".
  UNKNOWN: undefined,
  RUNNING: 'running',
  STOPPED: 'stopped',
  PAUSED: 'paused',
  SUSPENDED: 'suspended',
  CRASHED: 'crashed',
}

const answerSchema = z.object({
  importedCount: z.coerce.number().default(0),
  existingCount: z.coerce.number().default(0),
  errors: z.array(z.string()).default([]),
})

/** A VM as SyncNodeVMs tells it; undefined for one that cannot be told truthfully. */
export function syncedVm(vm: VmInfo): SyncedVm | undefined {
  const state = STATES[vm.state]
  if (state === undefined || vm.cpuCount === 0 || !isRealId(vm.vmId)) return undefined
  return {
    id: vm.vmId,
    name: vm.name,
    state,
    cpuCores: toUnsigned(vm.cpuCount),
    memoryMib: toUnsigned(vm.memoryBytes / MIB),
    diskPaths: vm.disks.map((disk) => disk.path).filter((path) => path !== ''),
  }
}

/**
 * Tells the control plane which VMs are on this host: all after each registration, later those it has not been told of. Only new ids have an effect there, so a VM is told
 * once per registration. A failure is repeated with back-off; a node it does not know waits for the next registration.
 */
export class VmSync {
  readonly #options: VmSyncOptions
  readonly #alarm = new Alarm()
  readonly #stopping = new AbortController()
  readonly #told = new Set<string>()
  readonly #unsubscribe: () => void
  readonly #running: Promise<void>
  #nodeId: string | undefined

  constructor(options: VmSyncOptions) {
    this.#options = options
    this.#unsubscribe = options.vms.onChange(() => this.#alarm.ring())
    this.#running = this.#run().catch(() => undefined)
  }

  /** The control plane knows this host (again), by this id. */
  registered(nodeId: string): void {
    this.#nodeId = nodeId
    this.#told.clear()
    this.#alarm.ring()
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    this.#stopping.abort()
    await this.#running
  }

  // Ends when it is stopped, and only then.
  async #run(): Promise<never> {
    const { pace } = this.#options
    const { signal } = this.#stopping
    let failures = 0
    let due = Number.POSITIVE_INFINITY
    for (;;) {
      await this.#alarm.sleepUntil(due, pace, signal)
      await pace.delay(SETTLE_MS, signal)
      try {
        await this.#sync(signal)
        failures = 0
        due = Number.POSITIVE_INFINITY
      } catch (error) {
        signal.throwIfAborted()
        failures++
        due = pace.now() + backoffMs(failures, pace.random(), retryAfterMs(toAgentError(error)))
        this.#options.log.warn({ err: errorText(error), failures }, 'the control plane could not be told of VMs')
      }
    }
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const nodeId = this.#nodeId
    if (nodeId === undefined) return
    const fresh = this.#present().filter(({ id }) => !this.#told.has(id))
    if (fresh.length === 0) return
    const request = { nodeId, vms: fresh }
    const answer = await this.#options.client.call(SYNC_NODE_VMS, request, answerSchema, {
      signal,
      timeoutMs: SYNC_TIMEOUT_MS,
    })
    const { importedCount, existingCount, errors } = answer
    const failed = failedOf(fresh, errors)
    // Another registration came meanwhile: it has heard of nothing.
    if (this.#nodeId === nodeId) for (const vm of fresh) if (!failed.includes(vm)) this.#told.add(vm.id)
    this.#options.log.info({ told: fresh.length, importedCount, existingCount }, 'told the control plane of VMs')
    if (errors.length > 0)
      throw new AgentError('CONTROL_PLANE_REFUSED', `it did not take some VMs: ${errors.join('; ')}`)
  }

  #present(): SyncedVm[] {
    const { vms, importForeign } = this.#options
    try {
      const all = vms.list()
      const here = new Set(all.map(({ vmId }) => vmId))
      for (const id of this.#told) if (!here.has(id)) this.#told.delete(id)
      return all.filter(({ managed }) => managed || importForeign).flatMap((vm) => syncedVm(vm) ?? [])
    } catch (error) {
      // It tells when it knows them again.
      if (isAgentError(error, 'LIBVIRT_UNAVAILABLE')) return []
      throw error
    }
  }
}

// Errors are texts. When none says which VM it is about, it may be any.
function failedOf(vms: readonly SyncedVm[], errors: readonly string[]): readonly SyncedVm[] {
  if (errors.length === 0) return []
  const named = vms.filter(({ id, name }) => errors.some((error) => error.includes(id) || error.includes(name)))
  return named.length > 0 ? named : vms
}
