import type { Logger } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { MembershipStatus } from '../core/model.ts'
import type { StateStore } from '../platform/state-store.ts'
import type { ControlPlaneLink } from './link.ts'
import type { Registrar } from './registration.ts'

/** One conversation with one control plane, with all that takes part in it. Nothing is sent before its link starts. */
export interface ClusterSession {
  /** Of the control plane, normalised. */
  readonly baseUrl: string
  readonly link: ControlPlaneLink
  readonly registrar: Registrar
  /** Ends all of it. */
  stop(): Promise<void>
}

/** What `join` leaves in the state store; the agent takes it up again at its start. */
interface JoinedRecord {
  readonly controlPlane: string
  readonly clusterName: string
  readonly joinedAt: number
}

export interface MembershipOptions<S extends ClusterSession> {
  /** CONFIG_INVALID for an address that is not a plain http(s) URL. */
  readonly open: (address: string) => S
  /** The address in a configuration that has registration enabled; it wins over what was joined. */
  readonly configured: string | undefined
  readonly heartbeatIntervalSecs: number
  readonly store: StateStore
  readonly log: Logger
}

const JOINED = 'joined'
const REGISTRATION = 'registration'
const LOCK = 'membership'

/** Which control plane this host belongs to, by its configuration or by a join at run time: at most one. */
export class Membership<S extends ClusterSession> {
  readonly #options: MembershipOptions<S>
  readonly #locks = new KeyedLock()
  #joined: JoinedRecord | undefined
  #session: S | undefined
  #started = false

  constructor(options: MembershipOptions<S>) {
    this.#options = options
  }

  /** The conversation there is; undefined without a control plane. */
  get session(): S | undefined {
    return this.#session
  }

  /** Reads what was joined and prepares the conversation; nothing is sent. CONFIG_INVALID. */
  async load(): Promise<void> {
    const { configured, open } = this.#options
    this.#joined = await this.#records().get(JOINED)
    const address = configured ?? this.#joined?.controlPlane
    if (address !== undefined) this.#session = open(address)
  }

  /** Starts the link, now and for later joins. The listeners must be up: a control plane calls back while it registers the node. */
  start(): void {
    this.#started = true
    this.#session?.link.start()
  }

  /** ClusterService.join. */
  async join(address: string, clusterName: string, signal: AbortSignal): Promise<MembershipStatus> {
    return this.#locks.run(LOCK, signal, async () => {
      const session = this.#options.open(address)
      if (this.#session?.baseUrl === session.baseUrl) {
        await session.stop()
        return this.status()
      }
      try {
        this.#refuseSecond()
        // Kept only once it is registered: what fails here leaves the host as it was.
        await session.registrar.register(signal)
        const record = { controlPlane: session.baseUrl, clusterName, joinedAt: Date.now() }
        await this.#records().put(JOINED, record)
        this.#joined = record
      } catch (error) {
        await session.stop()
        throw error
      }
      this.#session = session
      this.#options.log.info({ controlPlane: session.baseUrl }, 'joined the control plane')
      if (this.#started) session.link.start()
      return this.status()
    })
  }

  /** ClusterService.leave. */
  async leave(): Promise<MembershipStatus> {
    return this.#locks.run(LOCK, new AbortController().signal, async () => {
      const { configured, log } = this.#options
      if (configured !== undefined) {
        const text = `the configuration file registers this host at ${configured}; set control_plane.registration_enabled to false there and restart the agent`
        throw new AgentError('JOIN_CONFLICT', text)
      }
      await this.#records().delete(JOINED)
      const left = this.#session
      this.#joined = undefined
      this.#session = undefined
      await left?.stop()
      // Last, because a registration under way writes it.
      await this.#records().delete(REGISTRATION)
      if (left !== undefined) log.info({ controlPlane: left.baseUrl }, 'left the control plane')
      return this.status()
    })
  }

  /** From memory. */
  status(): MembershipStatus {
    const { configured, heartbeatIntervalSecs } = this.#options
    const link = this.#session?.link.status()
    return {
      origin: this.#session === undefined ? 'none' : configured !== undefined ? 'configuration' : 'join',
      controlPlane: this.#session?.baseUrl ?? '',
      clusterName: configured === undefined ? (this.#joined?.clusterName ?? '') : '',
      heartbeatIntervalSecs: link === undefined ? heartbeatIntervalSecs : Math.round(link.intervalMs / 1000),
      state: link?.state ?? 'stopped',
      nodeId: link?.nodeId ?? '',
      lastAckAt: link?.lastAckAt,
      consecutiveFailures: link?.consecutiveFailures ?? 0,
      lastError: link === undefined || link.state === 'connected' ? '' : (link.lastError?.message ?? ''),
    }
  }

  /** Ends the conversation; what was joined stays. */
  async stop(): Promise<void> {
    this.#started = false
    await this.#session?.stop()
  }

  #refuseSecond(): void {
    const current = this.#session?.baseUrl
    if (current === undefined) return
    const way =
      this.#options.configured === undefined
        ? 'run limiquantix-node leave first'
        : 'change control_plane.address in the configuration file and restart the agent'
    throw new AgentError('JOIN_CONFLICT', `this host belongs to the control plane ${current}; ${way}`)
  }

  #records() {
    return this.#options.store.collection<JoinedRecord>('control-plane')
  }
}
