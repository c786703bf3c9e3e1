import { errorText } from '../core/errors.ts'
import type { Connection } from './connection.ts'
import { LibvirtGone } from './errors.ts'
import type { PendingCall } from './pending-call.ts'

/** How one lane shares its connections. */
export interface LaneOptions {
  readonly maxConnections: number
  /** Calls in flight per connection. libvirtd stops reading from a connection, pings included, at its max_client_requests (default 5). */
  readonly window: number
  /** Opens one more connection; `onClose` must be called when it ends. */
  readonly open: (onClose: () => void) => Promise<Connection>
  /** Key of calls that must not overlap, such as two jobs on one domain. */
  readonly exclusiveKey?: (call: PendingCall) => string | undefined
}

/** Numbers of a lane for metrics. `stuck` calls have timed out here but still hold their slot. */
export interface LaneStats {
  readonly connections: number
  readonly queued: number
  readonly inFlight: number
  readonly stuck: number
}

/** A queue of calls before a few connections with a window each. */
export class Lane {
  readonly #options: LaneOptions
  readonly #connections = new Set<Connection>()
  // A Set keeps the order of arrival and lets a call that gave up leave at once.
  readonly #ready = new Set<PendingCall>()
  readonly #sent = new Set<PendingCall>()
  /** Calls that wait for another one with the same key; the key is there as long as one of them runs or is ready. */
  readonly #waiting = new Map<string, Set<PendingCall>>()
  #opening = 0
  #closedBy: Error | undefined

  constructor(options: LaneOptions) {
    this.#options = options
  }

  submit(call: PendingCall): void {
    if (call.settled) return
    if (this.#closedBy !== undefined) {
      call.fail(new LibvirtGone(call.name, false, errorText(this.#closedBy), this.#closedBy))
      return
    }
    const key = this.#options.exclusiveKey?.(call)
    if (key !== undefined) {
      call.onReleased = () => this.#releaseKey(key)
      const waiting = this.#waiting.get(key)
      if (waiting !== undefined) {
        waiting.add(call)
        call.onDropped = () => waiting.delete(call)
        return
      }
      this.#waiting.set(key, new Set())
    }
    this.#enqueue(call, key)
    this.#dispatch()
  }

  /** Opens the first connection ahead of need. */
  async warm(): Promise<void> {
    if (this.#connections.size === 0 && this.#opening === 0) await this.#open()
  }

  /** Ends the lane: queued calls were not sent, calls in flight have an unknown outcome. */
  close(why: Error): void {
    this.#closedBy ??= why
    this.#failQueued(why)
    for (const connection of [...this.#connections]) connection.close(why)
  }

  stats(): LaneStats {
    let queued = this.#ready.size
    for (const waiting of this.#waiting.values()) queued += waiting.size
    let stuck = 0
    for (const call of this.#sent) if (call.settled) stuck++
    return { connections: this.#connections.size, queued, inFlight: this.#sent.size, stuck }
  }

  #enqueue(call: PendingCall, key: string | undefined): void {
    this.#ready.add(call)
    call.onDropped = () => {
      this.#ready.delete(call)
      if (key !== undefined) this.#releaseKey(key)
    }
  }

  #releaseKey(key: string): void {
    const waiting = this.#waiting.get(key)
    const [next] = waiting ?? []
    if (waiting === undefined || next === undefined) {
      this.#waiting.delete(key)
      return
    }
    waiting.delete(next)
    this.#enqueue(next, key)
    this.#dispatch()
  }

  #dispatch(): void {
    if (this.#closedBy !== undefined) return
    for (const call of this.#ready) {
      const connection = this.#leastLoaded()
      if (connection === undefined) {
        this.#growIfNeeded()
        return
      }
      this.#ready.delete(call)
      this.#send(call, connection)
    }
  }

  #send(call: PendingCall, connection: Connection): void {
    const releaseKey = call.onReleased
    call.onReleased = () => {
      this.#sent.delete(call)
      releaseKey?.()
      this.#dispatch()
    }
    call.markSent()
    this.#sent.add(call)
    try {
      connection.send(call)
    } catch (error) {
      call.done(error as Error, undefined)
    }
  }

  #leastLoaded(): Connection | undefined {
    let best: Connection | undefined
    for (const connection of this.#connections) {
      if (connection.closed || connection.inFlight >= this.#options.window) continue
      if (best === undefined || connection.inFlight < best.inFlight) best = connection
    }
    return best
  }

  #growIfNeeded(): void {
    const { maxConnections, window } = this.#options
    while (this.#connections.size + this.#opening < maxConnections && this.#ready.size > this.#opening * window) {
      this.#open().catch((error: unknown) => {
        // With another connection left or on its way, the queue waits for its slots.
        if (this.#connections.size + this.#opening === 0) this.#failQueued(error as Error)
      })
    }
  }

  async #open(): Promise<void> {
    this.#opening++
    let opened: Connection | undefined
    try {
      opened = await this.#options.open(() => {
        // A connection that never opened is reported by the rejection, and must not be tried again at once.
        if (opened !== undefined && this.#connections.delete(opened)) this.#dispatch()
      })
    } finally {
      this.#opening--
    }
    if (this.#closedBy !== undefined) opened.close(this.#closedBy)
    if (opened.closed) throw new Error('libvirtd closed the connection')
    this.#connections.add(opened)
    this.#dispatch()
  }

  #failQueued(why: Error): void {
    const waiting = [...this.#waiting.values()].flatMap((calls) => [...calls])
    for (const set of this.#waiting.values()) set.clear()
    const ready = [...this.#ready]
    this.#ready.clear()
    for (const call of [...ready, ...waiting]) call.fail(new LibvirtGone(call.name, false, errorText(why), why))
    // Those in the ready queue held their key; the waiting ones did not.
    for (const call of ready) call.onReleased?.()
  }
}
