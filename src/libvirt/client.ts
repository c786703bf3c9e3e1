import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { abortable, KeyedLock } from '../core/keyed-lock.ts'
import type { Connection } from './connection.ts'
import { type ConnectionState, ObservableState } from './connection-state.ts'
import { DedicatedConnection } from './dedicated-connection.ts'
import { LibvirtGone } from './errors.ts'
import type { EventName, EventPayload } from './event-names.ts'
import { EventRegistry } from './events.ts'
import type { LaneStats } from './lane.ts'
import { DEFAULT_LANE_SIZES, laneOf, type LaneName, type LaneSizes } from './lanes.ts'
import { callOn, type OpenOptions, openConnection } from './open-connection.ts'
import { PendingCall } from './pending-call.ts'
import { findProcedure, type ProcedureName } from './programs.ts'
import { Session } from './session.ts'
import { resolveAddress } from './socket.ts'
import { isHole, LibvirtStream, type StreamItem } from './stream.ts'
import type { Procedures, ReadStreamProcedure, WriteStreamProcedure } from './wire/procedures.gen.ts'

const FAST_TIMEOUT_MS = 15_000
const SLOW_TIMEOUT_MS = 120_000
const BACKOFF_MIN_MS = 50
const BACKOFF_MAX_MS = 5_000
const STABLE_AFTER_MS = 10_000
const RESYNC_TIMEOUT_MS = 120_000

/** What the client is made with; all but `uri` and `log` have defaults. */
export interface LibvirtClientOptions {
  /** `qemu:///system`, `qemu+unix:///system?socket=/path`, `test:///default`. */
  readonly uri: string
  readonly log: Logger
  /** See resolveAddress. */
  readonly socketPath?: string
  readonly readOnly?: boolean
  readonly handshakeTimeoutMs?: number
  readonly keepaliveIntervalMs?: number
  readonly keepaliveCount?: number
  readonly lanes?: Partial<LaneSizes>
}

/** How one call is made. */
export interface CallOptions {
  /** Default 15 s for questions that libvirt answers from memory (the fast lane), else 120 s. It includes the wait in our own queue. */
  readonly timeoutMs?: number
  /** Rejects with the signal's reason; libvirt goes on with a call that was sent. */
  readonly signal?: AbortSignal
  /** Do not wait for other calls on the same domain: for questions during a job of minutes, such as a migration. */
  readonly mayOverlap?: boolean
}

/** How one stream is opened. */
export interface StreamOptions {
  /** Deadline of the call that opens it; default 120 s. */
  readonly timeoutMs?: number
  /** Ends the stream when nothing moves for so long while we wait; default 60 s, `Infinity` for consoles. */
  readonly idleTimeoutMs?: number
  readonly signal?: AbortSignal
}

/** Runs after events are registered on a new connection and before the client says `connected`: list everything again, for events in the gap are lost. */
export type ResyncHandler = (signal: AbortSignal) => Promise<void>

/**
 * Client of one libvirt daemon. It connects in the background and for ever; while there is no connection calls fail at once with LibvirtGone.
 * Errors of calls: LibvirtError (libvirt's answer), LibvirtTimeout, LibvirtGone, XdrError (arguments that do not fit), or the signal's reason.
 */
export class LibvirtClient {
  readonly #options: LibvirtClientOptions
  readonly #log: Logger
  readonly #state: ObservableState
  readonly #events: EventRegistry
  readonly #resyncHandlers = new Set<ResyncHandler>()
  readonly #closing = new AbortController()
  readonly #running: Promise<void>
  // Opening a stream costs a worker of the daemon until the file is open: one at a time.
  readonly #streamOpening = new KeyedLock()
  readonly #streams = new Set<Connection>()
  readonly #dedicated = new Set<DedicatedConnection>()
  #session: Session | undefined
  #libVersion: number | undefined

  constructor(options: LibvirtClientOptions) {
    this.#options = options
    this.#log = options.log.child({ component: 'libvirt' })
    this.#state = new ObservableState((error) =>
      this.#log.warn({ err: errorText(error) }, 'a listener of the state failed'),
    )
    this.#events = new EventRegistry((text) => this.#log.warn({}, text))
    this.#running = this.#run()
  }

  get state(): ConnectionState {
    return this.#state.value
  }

  /** libvirt's version as it counts (9.0.0 is 9000000), of the last daemon that was connected. */
  get libVersion(): number | undefined {
    return this.#libVersion
  }

  /** Numbers of the lanes; undefined without a connection. */
  get stats(): Readonly<Record<LaneName, LaneStats>> | undefined {
    return this.#session?.lanes.stats()
  }

  /** Tells every change of the connection; returns how to stop that. */
  onState(listener: (state: ConnectionState) => void): () => void {
    return this.#state.onChange(listener)
  }

  /** Adds a handler for the time between a new connection and `connected`; one that throws makes the client connect anew. Not called for a present connection. */
  onResync(handler: ResyncHandler): () => void {
    this.#resyncHandlers.add(handler)
    return () => void this.#resyncHandlers.delete(handler)
  }

  /** Resolves when connected; rejects with the signal's reason, or LibvirtGone when the client is closed. */
  async ready(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = ({ phase }: ConnectionState) => {
      if (phase === 'connected') resolve()
      if (phase === 'closed') reject(new LibvirtGone('connect', false, 'the client is closed'))
    }
    const off = this.onState(look)
    look(this.state)
    try {
      await abortable(promise, signal)
    } finally {
      off()
    }
  }

  /** Calls a procedure of libvirt. */
  async call<P extends ProcedureName>(
    name: P,
    args: Procedures[P]['args'],
    options: CallOptions = {},
  ): Promise<Procedures[P]['ret']> {
    const { program, procedure } = findProcedure(name)
    const session = this.#session
    if (session === undefined) throw this.#gone(name)
    const timeoutMs = options.timeoutMs ?? (laneOf(name, procedure) === 'fast' ? FAST_TIMEOUT_MS : SLOW_TIMEOUT_MS)
    const call = new PendingCall({ name, program, procedure, args, timeoutMs, signal: options.signal })
    session.lanes.submit(call, options.mayOverlap === true)
    return (await call.promise) as Procedures[P]['ret']
  }

  /** Listens to an event, over reconnects too; resolves, when the daemon knows, to how to stop. Listeners must be quick; what they throw is logged. */
  async subscribe<E extends EventName>(
    event: E,
    listener: (payload: EventPayload<E>) => void,
  ): Promise<() => Promise<void>> {
    return this.#events.subscribe(event, listener)
  }

  /** Opens a stream on a connection of its own. Always end it: `finish`, `abort`, or reading it to the end. */
  async openStream<P extends ReadStreamProcedure | WriteStreamProcedure>(
    name: P,
    args: Procedures[P]['args'],
    options: StreamOptions = {},
  ): Promise<LibvirtStream> {
    if (this.#session === undefined) throw this.#gone(name)
    const { timeoutMs = SLOW_TIMEOUT_MS, idleTimeoutMs = 60_000, signal } = options
    const deadline = AbortSignal.any([
      this.#closing.signal,
      AbortSignal.timeout(timeoutMs),
      ...(signal === undefined ? [] : [signal]),
    ])
    const release = await this.#streamOpening.acquire('open', deadline)
    try {
      let opened: Connection | undefined
      const connection = await this.#openConnection(deadline, () => {
        if (opened !== undefined) this.#streams.delete(opened)
      })
      opened = connection
      this.#streams.add(connection)
      const stream = new LibvirtStream(name, {
        idleTimeoutMs: Number.isFinite(idleTimeoutMs) ? idleTimeoutMs : undefined,
        signal,
      })
      try {
        await callOn(connection, name, args, timeoutMs, {
          signal: deadline,
          stream,
          onSerial: (serial) => stream.bind(connection, serial),
        })
      } catch (error) {
        stream.discard(error as Error)
        connection.close(error as Error)
        throw error
      }
      return stream
    } finally {
      release()
    }
  }

  /** Opens a connection for one piece of work that libvirt ties to the connection it was begun on; always close it. Errors: LibvirtGone. */
  async openDedicated(signal: AbortSignal): Promise<DedicatedConnection> {
    if (this.#session === undefined) throw this.#gone('connect')
    const over = AbortSignal.any([this.#closing.signal, signal])
    const dedicated = await DedicatedConnection.open(await this.#openOptions(), over, (text) =>
      this.#log.warn({}, text),
    )
    this.#dedicated.add(dedicated)
    dedicated.ended.then(
      () => this.#dedicated.delete(dedicated),
      () => undefined,
    )
    return dedicated
  }

  /** Sends all of `source` and waits for libvirt's confirmation; returns the bytes sent, holes included. */
  async upload<P extends WriteStreamProcedure>(
    name: P,
    args: Procedures[P]['args'],
    source: AsyncIterable<StreamItem> | Iterable<StreamItem>,
    options: StreamOptions = {},
  ): Promise<number> {
    const stream = await this.openStream(name, args, options)
    let bytes = 0
    try {
      for await (const item of source) {
        if (isHole(item)) await stream.writeHole(item.holeBytes)
        else await stream.write(item)
        bytes += isHole(item) ? item.holeBytes : item.length
      }
      await stream.finish()
    } finally {
      await stream.abort()
    }
    return bytes
  }

  /** All pieces of a download; leaving the loop early aborts it. */
  async *download<P extends ReadStreamProcedure>(
    name: P,
    args: Procedures[P]['args'],
    options: StreamOptions = {},
  ): AsyncGenerator<StreamItem, void, undefined> {
    yield* await this.openStream(name, args, options)
  }

  /** Closes everything for good: every call and stream is settled when it resolves. */
  async close(): Promise<void> {
    const why = new Error('the client is closed')
    this.#closing.abort(why)
    this.#session?.close(why)
    for (const each of [...this.#streams, ...this.#dedicated]) each.close(why)
    await this.#running
  }

  async #run(): Promise<void> {
    const signal = this.#closing.signal
    let backoffMs = BACKOFF_MIN_MS
    while (!signal.aborted) {
      let connectedAt = Infinity
      try {
        const session = await this.#connect(signal)
        connectedAt = performance.now()
        throw await session.ended
      } catch (error) {
        this.#session?.close(error as Error)
        this.#session = undefined
        this.#events.detach()
        if (signal.aborted) break
        if (this.#state.value.phase !== 'disconnected')
          this.#log.warn({ err: errorText(error) }, 'no connection to libvirt')
        this.#state.set('disconnected', error as Error)
      }
      if (performance.now() - connectedAt > STABLE_AFTER_MS) backoffMs = BACKOFF_MIN_MS
      await delay(backoffMs, undefined, { signal }).catch(() => {
        // Closed while waiting: the loop ends.
      })
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS)
    }
    this.#state.set('closed')
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const openOptions = await this.#openOptions()
    const session = await Session.open(openOptions, { ...DEFAULT_LANE_SIZES, ...this.#options.lanes }, signal, {
      onEvent: (name, message) => this.#events.dispatch(name, message),
      onWarning: (text) => this.#log.warn({}, text),
    })
    this.#session = session
    this.#libVersion = session.libVersion
    await this.#events.attach(session.eventConnection)
    this.#state.set('resyncing')
    const over = AbortSignal.any([signal, session.endedSignal, AbortSignal.timeout(RESYNC_TIMEOUT_MS)])
    for (const handler of [...this.#resyncHandlers]) await abortable(handler(over), over)
    over.throwIfAborted()
    this.#state.set('connected')
    this.#log.info(
      { uri: this.#options.uri, socket: openOptions.address.socketPath, libVersion: this.#libVersion },
      'connected to libvirt',
    )
    return session
  }

  async #openOptions(): Promise<OpenOptions> {
    const { uri, socketPath, readOnly = false } = this.#options
    return {
      // At every connect: an upgrade may replace libvirtd by virtqemud.
      address: await resolveAddress(uri, { socketPath }),
      readOnly,
      handshakeTimeoutMs: this.#options.handshakeTimeoutMs ?? 30_000,
      keepaliveIntervalMs: this.#options.keepaliveIntervalMs ?? 5_000,
      keepaliveCount: this.#options.keepaliveCount ?? 5,
    }
  }

  async #openConnection(signal: AbortSignal, onClose: () => void): Promise<Connection> {
    return openConnection(await this.#openOptions(), { onClose }, false, signal)
  }

  #gone(name: string): LibvirtGone {
    const { phase, error } = this.state
    return new LibvirtGone(name, false, error === undefined ? `the client is ${phase}` : errorText(error), error)
  }
}
