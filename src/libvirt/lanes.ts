import type { Connection } from './connection.ts'
import { Lane, type LaneStats } from './lane.ts'
import type { PendingCall } from './pending-call.ts'
import type { Procedure } from './program.ts'

/** The ways into the daemon; each has connections of its own, so that a stuck guest cannot hold up what does not concern it. */
export type LaneName = 'fast' | 'control' | 'slow' | 'guest'

// What must get through while a job on the same domain hangs: ending the guest, ending the job, asking about the job.
const RESCUE = new Set(
  [
    'DOMAIN_DESTROY',
    'DOMAIN_DESTROY_FLAGS',
    'DOMAIN_ABORT_JOB',
    'DOMAIN_ABORT_JOB_FLAGS',
    'DOMAIN_GET_JOB_INFO',
    'DOMAIN_GET_JOB_STATS',
  ].map((name) => `remote:${name}`),
)
// High priority only says that no monitor is asked. These write files, or wait for a capability probe of a minute.
const CONFIGURATION = /^remote:DOMAIN_(DEFINE|UNDEFINE|SNAPSHOT|CHECKPOINT|SAVE_IMAGE)/
// These may wait for storage that hangs, for network set-up or for another daemon.
const ELSEWHERE = /^remote:(STORAGE_|NETWORK_|NODE_DEVICE_|INTERFACE_|NWFILTER_|CONNECT_COMPARE)/
// These wait for the guest's agent, for which libvirt has a job of its own beside the one for the monitor.
const AGENT =
  /^(qemu:DOMAIN_AGENT_COMMAND|remote:DOMAIN_(GET_GUEST_INFO|FSFREEZE|FSTHAW|FSTRIM|GET_FSINFO|GET_HOSTNAME|INTERFACE_ADDRESSES|[GS]ET_TIME|SET_USER_PASSWORD|[GS]ET_GUEST_VCPUS|AUTHORIZED_SSH_KEYS_[GS]ET))$/

const known = new Map<string, LaneName>()

/** Chooses the lane of a procedure by its name and libvirt's own priority. */
export function laneOf(name: string, procedure: Procedure): LaneName {
  const lane = known.get(name) ?? chooseLane(name, procedure)
  known.set(name, lane)
  return lane
}

function chooseLane(name: string, procedure: Procedure): LaneName {
  if (RESCUE.has(name)) return 'control'
  // A guest decides when its agent answers: that must not keep work on other guests waiting.
  if (AGENT.test(name)) return 'guest'
  if (!procedure.highPriority) return 'slow'
  if (CONFIGURATION.test(name)) return 'control'
  return ELSEWHERE.test(name) ? 'slow' : 'fast'
}

/** Key of calls that would wait for each other inside libvirtd, each in one of its workers: those on the monitor, or the agent, of one domain. */
export function exclusiveKey(name: string, procedure: Procedure, args: unknown): string | undefined {
  if (procedure.domainPath === undefined || procedure.highPriority) return undefined
  let value: unknown = args
  for (const part of procedure.domainPath.split('.')) value = (value as Record<string, unknown> | null)?.[part]
  const uuid = (value as { uuid?: Uint8Array } | null | undefined)?.uuid
  if (uuid === undefined) return undefined
  return `${Buffer.from(uuid).toString('hex')}${AGENT.test(name) ? ':agent' : ''}`
}

/** Sizes of the lanes. */
export interface LaneSizes {
  /** Calls in flight per connection: max_client_requests of libvirtd (5 by default) less one, so that its pings are always read. */
  readonly window: number
  readonly fastConnections: number
  /** With the window this is the cap on low-priority calls that no guest can delay: 3 x 4 = 12 of libvirtd's 20 workers. */
  readonly slowConnections: number
  /** Likewise for calls that guest agents answer: 4 of those workers. */
  readonly guestConnections: number
}

export const DEFAULT_LANE_SIZES: LaneSizes = {
  window: 4,
  fastConnections: 4,
  slowConnections: 3,
  guestConnections: 1,
}

/** All lanes of one session with the daemon. */
export class Lanes {
  readonly #lanes: Readonly<Record<LaneName, Lane>>
  readonly #overlapping = new WeakSet<PendingCall>()

  constructor(sizes: LaneSizes, open: (onClose: () => void) => Promise<Connection>) {
    const { window } = sizes
    const key = (call: PendingCall) =>
      this.#overlapping.has(call) ? undefined : exclusiveKey(call.name, call.procedure, call.args)
    this.#lanes = {
      fast: new Lane({ window, maxConnections: sizes.fastConnections, open }),
      control: new Lane({ window, maxConnections: 2, open }),
      slow: new Lane({ window, maxConnections: sizes.slowConnections, open, exclusiveKey: key }),
      guest: new Lane({ window, maxConnections: sizes.guestConnections, open, exclusiveKey: key }),
    }
  }

  /** Queues a call. `mayOverlap`: it need not wait for other calls on its domain. */
  submit(call: PendingCall, mayOverlap: boolean): void {
    if (mayOverlap) this.#overlapping.add(call)
    this.#lanes[laneOf(call.name, call.procedure)].submit(call)
  }

  /** Opens the connections that every agent needs at once. */
  async warm(): Promise<void> {
    await Promise.all([this.#lanes.fast.warm(), this.#lanes.slow.warm()])
  }

  close(why: Error): void {
    for (const lane of Object.values(this.#lanes)) lane.close(why)
  }

  stats(): Readonly<Record<LaneName, LaneStats>> {
    const { fast, control, slow, guest } = this.#lanes
    return { fast: fast.stats(), control: control.stats(), slow: slow.stats(), guest: guest.stats() }
  }
}
