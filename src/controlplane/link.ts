import type { Logger } from '../core/context.ts'
import { toAgentError, type AgentError } from '../core/errors.ts'
import { connectCode, retryAfterMs, type ConnectClient } from '../platform/connect-client.ts'
import { backoffMs } from './backoff.ts'
import { heartbeatRequest, sendHeartbeat, type HeartbeatAnswer, type HeartbeatSource } from './heartbeat.ts'
import { Alarm, realPace, type Pace } from './pace.ts'
import type { Registrar } from './registration.ts'
import { TickGrid } from './tick-grid.ts'

/** What the link knows about itself. Times are milliseconds since the epoch; ages are monotonic. */
export interface LinkStatus {
  readonly state: 'stopped' | 'registering' | 'connected' | 'disconnected'
  readonly controlPlane: string
  /** Id given by the control plane; empty until it gave one. */
  readonly nodeId: string
  readonly intervalMs: number
  readonly lastAckAt: number | undefined
  readonly lastAckAgeMs: number | undefined
  readonly lastAckLatencyMs: number | undefined
  readonly consecutiveFailures: number
  readonly heartbeatsAcknowledged: number
  readonly heartbeatsFailed: number
  readonly registrations: number
  readonly registrationsFailed: number
  readonly lastError: { readonly at: number; readonly reason: string; readonly message: string } | undefined
}

export interface LinkOptions {
  readonly client: ConnectClient
  readonly registrar: Registrar
  readonly source: HeartbeatSource
  /** Until the control plane gives another one. */
  readonly intervalMs: number
  readonly log: Logger
  /** Gets every answer: assigned pools, request for a full sync. Must return at once; what it throws is logged. */
  readonly onAnswer?: (answer: HeartbeatAnswer) => void
  /** Hears of every registration. Must return at once; what it throws is logged. */
  readonly onRegistered?: (nodeId: string) => void
  readonly pace?: Pace
}

/** The agent's side of the conversation with one control plane. */
export interface ControlPlaneLink {
  /** Starts registering and beating in the background. The listeners must be up: the control plane calls back while it registers the node. */
  start(): void
  /** Ends both loops and all connections. */
  stop(): Promise<void>
  status(): LinkStatus
}

const HEARTBEAT_TIMEOUT_MS = 15_000
const FAILURES_BEFORE_REGISTER = 3
const MIN_INTERVAL_MS = 5_000
// A control plane gives a node up after 90 s without a heartbeat.
const MAX_INTERVAL_MS = 60_000

/** A link to the control plane behind `client`; nothing is sent before `start`. */
export function createControlPlaneLink(options: LinkOptions): ControlPlaneLink {
  return new Link(options)
}

class Link implements ControlPlaneLink {
  readonly #options: LinkOptions
  readonly #pace: Pace
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #registerAlarm = new Alarm()
  readonly #beatAlarm = new Alarm()
  readonly #grid: TickGrid
  #loops: Promise<void>[] = []
  #nodeId: string | undefined
  #wantsRegistration = true
  #recalled = false
  /** The node id came from a registration after which no heartbeat was answered yet. */
  #unproven = false
  #lastAck: { at: number; monotonic: number; latencyMs: number } | undefined
  #consecutiveFailures = 0
  #counts = { acknowledged: 0, failed: 0, registrations: 0, registrationsFailed: 0 }
  #lastError: LinkStatus['lastError']

  constructor(options: LinkOptions) {
    this.#options = options
    this.#pace = options.pace ?? realPace
    this.#log = options.log.child({ controlPlane: options.client.baseUrl })
    this.#grid = new TickGrid(this.#pace, options.intervalMs)
  }

  start(): void {
    if (this.#loops.length > 0 || this.#stopping.signal.aborted) return
    this.#loops = [
      this.#supervise('register', () => this.#registerLoop()),
      this.#supervise('heartbeat', () => this.#beatLoop()),
    ]
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#loops)
    await this.#options.client.close()
  }

  status(): LinkStatus {
    const connected = this.#lastAck !== undefined && this.#consecutiveFailures === 0 && this.#nodeId !== undefined
    const running = this.#loops.length > 0 && !this.#stopping.signal.aborted
    return {
      state: !running
        ? 'stopped'
        : connected
          ? 'connected'
          : this.#lastAck === undefined
            ? 'registering'
            : 'disconnected',
      controlPlane: this.#options.client.baseUrl,
      nodeId: this.#nodeId ?? '',
      intervalMs: this.#grid.intervalMs,
      lastAckAt: this.#lastAck?.at,
      lastAckAgeMs: this.#lastAck && this.#pace.now() - this.#lastAck.monotonic,
      lastAckLatencyMs: this.#lastAck?.latencyMs,
      consecutiveFailures: this.#consecutiveFailures,
      heartbeatsAcknowledged: this.#counts.acknowledged,
      heartbeatsFailed: this.#counts.failed,
      registrations: this.#counts.registrations,
      registrationsFailed: this.#counts.registrationsFailed,
      lastError: this.#lastError,
    }
  }

  // A loop ends when the link stops, and only then: what goes wrong inside is logged and the loop starts over.
  async #supervise(name: string, loop: () => Promise<never>): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        await loop()
      } catch (error) {
        if (signal.aborted) return
        this.#log.error(
          { loop: name, err: toAgentError(error).message },
          'control plane loop failed; starting it again',
        )
        await this.#pace.delay(this.#options.intervalMs, signal).catch(() => undefined)
      }
    }
  }

  async #registerLoop(): Promise<never> {
    const { signal } = this.#stopping
    let failures = 0
    for (;;) {
      if (!this.#wantsRegistration) {
        failures = 0
        await this.#registerAlarm.sleepUntil(Number.POSITIVE_INFINITY, this.#pace, signal)
        continue
      }
      try {
        await this.#register(signal)
      } catch (error) {
        signal.throwIfAborted()
        failures++
        this.#counts.registrationsFailed++
        const failure = this.#note(error)
        const waitMs = backoffMs(failures, this.#pace.random(), retryAfterMs(failure))
        this.#log.warn(
          { reason: failure.reason, err: failure.message, failures, waitMs: Math.round(waitMs) },
          'registration failed',
        )
        await this.#recall()
        await this.#registerAlarm.sleepUntil(this.#pace.now() + waitMs, this.#pace, signal)
      }
    }
  }

  async #register(signal: AbortSignal): Promise<void> {
    const nodeId = await this.#options.registrar.register(signal)
    this.#nodeId = nodeId
    this.#wantsRegistration = false
    this.#unproven = true
    this.#consecutiveFailures = 0
    this.#counts.registrations++
    this.#log.info({ nodeId }, 'registered')
    this.#tell(() => this.#options.onRegistered?.(nodeId))
    this.#beatAlarm.ring()
  }

  // A control plane that takes no registration now may still know this node from before.
  async #recall(): Promise<void> {
    if (this.#recalled || this.#counts.registrations > 0) return
    this.#recalled = true
    this.#nodeId = await this.#options.registrar.recall()
    if (this.#nodeId !== undefined) this.#beatAlarm.ring()
  }

  async #beatLoop(): Promise<never> {
    const { signal } = this.#stopping
    for (;;) {
      const nodeId = this.#nodeId
      if (nodeId === undefined) {
        await this.#beatAlarm.sleepUntil(Number.POSITIVE_INFINITY, this.#pace, signal)
        continue
      }
      const pauseMs = await this.#beat(nodeId, signal)
      if (this.#nodeId === undefined) continue
      const due = Math.max(this.#grid.next(), this.#pace.now() + pauseMs)
      await this.#beatAlarm.sleepUntil(due, this.#pace, signal)
    }
  }

  // Returns how long the control plane asked to be left alone.
  async #beat(nodeId: string, signal: AbortSignal): Promise<number> {
    const startedAt = this.#pace.now()
    const timeoutMs = Math.min(HEARTBEAT_TIMEOUT_MS, this.#grid.budgetMs())
    try {
      const request = heartbeatRequest(nodeId, this.#options.source)
      const answer = await sendHeartbeat(this.#options.client, request, { signal, timeoutMs })
      this.#acknowledged(answer, startedAt)
      return 0
    } catch (error) {
      signal.throwIfAborted()
      return this.#missed(nodeId, error)
    }
  }

  #acknowledged(answer: HeartbeatAnswer, startedAt: number): void {
    const now = this.#pace.now()
    if (this.#consecutiveFailures > 0)
      this.#log.info({ missed: this.#consecutiveFailures }, 'heartbeats are acknowledged again')
    this.#lastAck = { at: Date.now(), monotonic: now, latencyMs: now - startedAt }
    this.#consecutiveFailures = 0
    this.#unproven = false
    this.#counts.acknowledged++
    if (answer.intervalSeconds !== undefined) this.#grid.setInterval(limitInterval(answer.intervalSeconds * 1000))
    this.#tell(() => this.#options.onAnswer?.(answer))
  }

  #tell(listener: () => void): void {
    try {
      listener()
    } catch (error) {
      this.#log.error({ err: toAgentError(error).message }, 'what the control plane said could not be handled')
    }
  }

  #missed(nodeId: string, error: unknown): number {
    const failure = this.#note(error)
    this.#counts.failed++
    this.#consecutiveFailures++
    this.#log.warn(
      { reason: failure.reason, err: failure.message, failures: this.#consecutiveFailures },
      'heartbeat failed',
    )
    if (connectCode(failure) === 'not_found') {
      if (this.#nodeId === nodeId) this.#forget()
    } else if (this.#consecutiveFailures === FAILURES_BEFORE_REGISTER) {
      this.#wantRegistration()
    }
    return Math.min(retryAfterMs(failure) ?? 0, MAX_INTERVAL_MS)
  }

  #forget(): void {
    // An id that was given a moment ago and is unknown now: registering again at once would only turn in a circle.
    if (this.#unproven) {
      this.#unproven = false
      return
    }
    this.#nodeId = undefined
    this.#wantRegistration()
  }

  #wantRegistration(): void {
    this.#wantsRegistration = true
    this.#registerAlarm.ring()
  }

  #note(error: unknown): AgentError {
    const failure = toAgentError(error)
    this.#lastError = { at: Date.now(), reason: failure.reason, message: failure.message }
    return failure
  }
}

function limitInterval(intervalMs: number): number {
  return Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, intervalMs))
}
