import { randomUUID } from 'node:crypto'
import type { Logger, Progress } from '../core/context.ts'
import { AgentError, errorText, fromErrorRecord, isAgentError, toErrorRecord } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import { abortable } from '../core/keyed-lock.ts'
import { delay } from '../platform/clock.ts'
import type { StateCollection } from '../platform/state-store.ts'
import { DEFAULT_HISTORY, OperationHistory, type HistoryLimits } from './history.ts'
import { isFinal, type OperationContext, type OperationHandler, type OperationRecord } from './operation.ts'
import { OperationLogs, type OperationLog } from './operation-log.ts'
import { OperationWatchers, type OperationListener } from './watchers.ts'

/** Options of a new operation. */
export interface StartOptions {
  readonly id?: string
  readonly subject: string
  readonly dedupeKey?: string
  /** Names of resources no other operation may hold meanwhile, such as `vm:<id>`. */
  readonly locks?: readonly string[]
  readonly retryOf?: string
}

/** What is kept of operations besides their records. */
export interface KeepOptions {
  readonly history?: HistoryLimits
  /** Where their logs go; in memory alone when absent. */
  readonly logs?: StateCollection<OperationLog>
}

type AnyHandler = OperationHandler<unknown, unknown, unknown>

interface Live {
  record: OperationRecord
  readonly controller: AbortController
  /** Fires for a stop of the agent alone. */
  readonly stop: AbortController
  /** Resolves when the record is on disk. */
  readonly saved: Promise<void>
  done: Promise<void>
}

/** How long interrupted work may take to notice. */
const INTERRUPT_MS = 2_000
/** Age counts also while nothing ends. */
const PRUNE_EVERY_MS = 60 * 60_000

/**
 * Runs, persists, cancels and recovers long work. Callers that hang up do not cancel it; a cancelled operation keeps its locks until its handler has
 * really ended.
 */
export class OperationManager {
  readonly #store: StateCollection<OperationRecord>
  readonly #log: Logger
  readonly #locks: KeyedLock
  readonly #handlers = new Map<string, AnyHandler>()
  readonly #live = new Map<string, Live>()
  readonly #history: OperationHistory
  readonly #logs: OperationLogs
  readonly #watchers = new OperationWatchers()
  #pruning: NodeJS.Timeout | undefined
  readonly #interrupted = new Map<string, OperationRecord>()
  readonly #taken = Promise.withResolvers<void>()
  #stopping = false

  constructor(store: StateCollection<OperationRecord>, locks: KeyedLock, log: Logger, keep: KeepOptions = {}) {
    this.#store = store
    this.#locks = locks
    this.#log = log
    this.#history = new OperationHistory(store, keep.history ?? DEFAULT_HISTORY)
    this.#logs = new OperationLogs(keep.logs, log)
  }

  /** Makes a kind of work known. Before `recover`. */
  register<P, R, J>(handler: OperationHandler<P, R, J>): void {
    this.#handlers.set(handler.kind, handler)
  }

  /** Loads the history, so that callers who ask for an earlier operation get an answer. Before the listeners open. */
  async load(): Promise<void> {
    for (const [id, record] of await this.#store.entries()) {
      if (isFinal(record.state)) this.#history.add(record)
      else {
        this.#interrupted.set(id, record)
        await this.#logs.resume(id)
      }
    }
    await this.#prune()
    this.#pruning = setInterval(() => void this.#prune(), PRUNE_EVERY_MS)
    this.#pruning.unref()
  }

  /** Takes up what an earlier process left: runs it again, or rolls it back. Resolves when the rollbacks are through. After `load`. */
  async recover(): Promise<void> {
    const rollbacks: Promise<void>[] = []
    for (const [id, record] of this.#interrupted) {
      const handler = this.#handlers.get(record.kind)
      if (handler === undefined) {
        this.#log.error({ operation: id, kind: record.kind }, 'no handler for an interrupted operation')
        continue
      }
      const resume = handler.onRestart === 'resume'
      this.#log.info(
        { operation: id, kind: record.kind, subject: record.subject },
        resume ? 'resuming' : 'rolling back',
      )
      const live = this.#launch(record, handler, resume ? 'run' : 'rollback')
      this.#interrupted.delete(id)
      if (!resume) rollbacks.push(live.done)
    }
    this.#taken.resolve()
    await Promise.all(rollbacks)
  }

  /**
   * Begins an operation, or returns the running one with the same `dedupeKey`; it is persisted when this resolves. Between `load` and `recover` it waits for
   * the latter while there is interrupted work, because that holds its locks although nothing runs yet.
   */
  async start<P>(kind: string, params: P, options: StartOptions): Promise<OperationRecord> {
    if (this.#interrupted.size > 0) await this.#taken.promise
    if (this.#stopping) throw new AgentError('SHUTTING_DOWN', 'the agent is stopping and takes no new work')
    const handler = this.#handlers.get(kind)
    if (handler === undefined) throw new AgentError('INTERNAL', `no handler for operations of kind ${kind}`)
    const twin = options.dedupeKey === undefined ? undefined : this.#findLive(options.dedupeKey)
    if (twin !== undefined) {
      await twin.saved
      return twin.record
    }
    const id = options.id ?? randomUUID()
    const known = this.get(id)
    if (known !== undefined) return known
    const record: OperationRecord = {
      id,
      kind,
      subject: options.subject,
      ...(options.dedupeKey === undefined ? {} : { dedupeKey: options.dedupeKey }),
      locks: options.locks ?? [],
      params,
      state: 'pending',
      createdAt: Date.now(),
      ...(options.retryOf === undefined ? {} : { retryOf: options.retryOf }),
    }
    const saved = this.#store.put(id, record)
    const live = this.#launch(record, handler, 'run', saved)
    await saved
    return live.record
  }

  /**
   * Begins a failed or cancelled operation again as a new one, or returns the running one that does the same. Errors: JOB_NOT_FOUND, JOB_NOT_RETRYABLE.
   */
  async retry(id: string): Promise<OperationRecord> {
    const record = this.get(id)
    if (record === undefined) throw unknown(id)
    const handler = this.#handlers.get(record.kind)
    if (handler?.retry === undefined) {
      throw new AgentError(
        'JOB_NOT_RETRYABLE',
        `job ${id} (${record.kind}) cannot be repeated from here; ask for it anew`,
      )
    }
    if (record.state !== 'failed' && record.state !== 'cancelled') {
      throw new AgentError(
        'JOB_NOT_RETRYABLE',
        `job ${id} is ${record.state}; only failed and cancelled ones are repeated`,
      )
    }
    const { kind, subject, dedupeKey, locks } = record
    const options = { subject, locks, retryOf: id, ...(dedupeKey === undefined ? {} : { dedupeKey }) }
    return this.start(kind, handler.retry(record.params), options)
  }

  /** True when `retry` would begin it again. */
  canRetry({ kind, state }: OperationRecord): boolean {
    return (state === 'failed' || state === 'cancelled') && this.#handlers.get(kind)?.retry !== undefined
  }

  /** Present rate of an operation; 0 when unknown. */
  bytesPerSecond({ kind, id }: OperationRecord): number {
    return this.#handlers.get(kind)?.bytesPerSecond?.(id) ?? 0
  }

  /** The operation's own log. JOB_NOT_FOUND. */
  async log(id: string): Promise<OperationLog> {
    if (this.get(id) === undefined) throw unknown(id)
    return this.#logs.read(id)
  }

  /** The record of an operation, live or finished. */
  get(id: string): OperationRecord | undefined {
    return this.#live.get(id)?.record ?? this.#interrupted.get(id) ?? this.#history.get(id)
  }

  /** Another number after every change of an operation within this process; 0 before the first one. */
  version(id: string): number {
    return this.#watchers.version(id)
  }

  /** All known records of a kind (or of all kinds), oldest first. */
  list(kind?: string): OperationRecord[] {
    // One that is just ending may be in two of them.
    const byId = new Map([...this.#history.all(), ...this.#interrupted])
    for (const [id, { record }] of this.#live) byId.set(id, record)
    const all = [...byId.values()]
    return all.filter((record) => kind === undefined || record.kind === kind).sort((a, b) => a.createdAt - b.createdAt)
  }

  /** Waits for the end; returns the final record. Aborting `signal` ends the waiting, not the work. Error: JOB_NOT_FOUND. */
  async wait(id: string, signal: AbortSignal): Promise<OperationRecord> {
    const live = this.#live.get(id)
    if (live !== undefined) await abortable(live.done, signal)
    const record = this.get(id)
    if (record === undefined) throw unknown(id)
    if (!isFinal(record.state))
      throw new AgentError(
        'SHUTTING_DOWN',
        `job ${id} was interrupted by the stop of the agent; it goes on after its restart`,
      )
    return record
  }

  /** Waits for the end and returns the result; throws the error the operation ended with. */
  async result<R>(id: string, signal: AbortSignal): Promise<R> {
    const record = await this.wait(id, signal)
    if (record.error !== undefined) throw fromErrorRecord(record.error)
    return record.result as R
  }

  /** Calls `listener` at every change until it is final; returns the function that stops it. */
  watch(id: string, listener: OperationListener): () => void {
    return this.#watchers.add(id, listener)
  }

  /** Calls `listener` at every change of any operation; returns the function that stops it. */
  watchAll(listener: OperationListener): () => void {
    return this.#watchers.addForAll(listener)
  }

  /** Asks an operation to end and waits until it has. Errors: JOB_NOT_FOUND, JOB_FINISHED. */
  async cancel(id: string, signal: AbortSignal): Promise<OperationRecord> {
    // Only a handler that runs can clean up after itself.
    if (this.#interrupted.has(id)) await abortable(this.#taken.promise, signal)
    const live = this.#live.get(id)
    if (live === undefined) {
      const record = this.#history.get(id)
      if (record === undefined) throw unknown(id)
      throw new AgentError('JOB_FINISHED', `job ${id} has ended (${record.state}) and cannot be cancelled`)
    }
    live.controller.abort(new AgentError('CANCELLED', `job ${id} was cancelled`))
    return this.wait(id, signal)
  }

  /** Takes no new work, gives `finish` operations `graceMs` to end, interrupts the rest; what is not through is taken up at the next start. */
  async shutdown(graceMs: number): Promise<void> {
    this.#stopping = true
    this.#taken.resolve()
    const finishing: Promise<void>[] = []
    for (const live of this.#live.values()) {
      if (this.#handlers.get(live.record.kind)?.onShutdown === 'finish') finishing.push(live.done)
      else interrupt(live)
    }
    await within(Promise.all(finishing), graceMs)
    const rest = [...this.#live.values()]
    for (const live of rest) interrupt(live)
    await within(Promise.all(rest.map((live) => live.done)), INTERRUPT_MS)
    clearInterval(this.#pruning)
    await this.#logs.flush()
  }

  #findLive(dedupeKey: string): Live | undefined {
    for (const live of this.#live.values()) {
      if (live.record.dedupeKey === dedupeKey && !live.controller.signal.aborted) return live
    }
    return undefined
  }

  #launch(
    record: OperationRecord,
    handler: AnyHandler,
    mode: 'run' | 'rollback',
    saved: Promise<void> = Promise.resolve(),
  ): Live {
    const live: Live = {
      record,
      controller: new AbortController(),
      stop: new AbortController(),
      saved,
      done: Promise.resolve(),
    }
    this.#live.set(record.id, live)
    live.done = saved
      .then(() => this.#execute(live, handler, mode))
      .catch((error: unknown) =>
        this.#log.error({ operation: record.id, err: errorText(error) }, 'operation could not be recorded'),
      )
      .finally(() => this.#live.delete(record.id))
    return live
  }

  async #execute(live: Live, handler: AnyHandler, mode: 'run' | 'rollback'): Promise<void> {
    const { signal } = live.controller
    // What an earlier process has begun only its handler can end: a cancellation waits for the locks too.
    const waiting = live.record.journal === undefined ? signal : live.stop.signal
    try {
      await this.#locks.runAll(live.record.locks, waiting, async () => {
        const noted = this.#noteRunning(live)
        try {
          const ctx = this.#context(live)
          if (mode === 'rollback') {
            await handler.rollback?.(live.record.params, ctx)
            throw new AgentError(
              'ABORTED_BY_RESTART',
              `${live.record.subject}: interrupted by a restart of the agent and undone`,
            )
          }
          const result = await handler.run(live.record.params, ctx)
          await this.#complete(live, handler, result)
        } finally {
          // Nothing is written after the end.
          await noted
        }
      })
    } catch (error) {
      // Interrupted by shutdown: the persisted record stays `running`, and the next start takes it up.
      const isStopped = live.stop.signal.aborted && isAgentError(error, 'SHUTTING_DOWN')
      if (isStopped || (signal.aborted && isAgentError(signal.reason, 'SHUTTING_DOWN'))) {
        this.#interrupted.set(live.record.id, live.record)
        return
      }
      const end = { state: signal.aborted ? ('cancelled' as const) : ('failed' as const), error: toErrorRecord(error) }
      await this.#end(live, end).catch((unwritable: unknown) => {
        this.#log.error({ operation: live.record.id, err: errorText(unwritable) }, 'the end could not be recorded')
        this.#publish(live, { ...live.record, ...end, finishedAt: Date.now() })
      })
    }
    this.#history.add(live.record)
    this.#log.info(
      {
        operation: live.record.id,
        kind: live.record.kind,
        subject: live.record.subject,
        state: live.record.state,
        err: live.record.error?.message,
      },
      'operation ended',
    )
    this.#logs.close(live.record.id)
    await this.#prune()
  }

  // A completion that is not on disk would be undone by the next start, under whoever uses it by then: it is undone now instead.
  async #complete(live: Live, handler: AnyHandler, result: unknown): Promise<void> {
    try {
      await this.#end(live, { state: 'completed', result })
    } catch (error) {
      if (handler.onRestart === 'rollback') await handler.rollback?.(live.record.params, this.#context(live))
      throw error
    }
  }

  // Written while the work begins: to the next start, pending and running are the same, and whatever is saved later says it too.
  #noteRunning(live: Live): Promise<void> {
    if (live.record.state === 'running') return Promise.resolve()
    this.#publish(live, { ...live.record, state: 'running', startedAt: Date.now() })
    const noted = this.#store.put(live.record.id, live.record)
    return noted.catch((error: unknown) => {
      this.#log.warn(
        { operation: live.record.id, err: errorText(error) },
        'that an operation runs could not be recorded',
      )
    })
  }

  async #end(live: Live, end: Partial<OperationRecord>): Promise<void> {
    await this.#update(live, { ...end, finishedAt: Date.now() })
  }

  #context(live: Live): OperationContext<unknown> {
    return {
      id: live.record.id,
      signal: live.controller.signal,
      log: this.#logs.attach(live.record.id, this.#log.child({ operation: live.record.id })),
      journal: live.record.journal,
      progress: (progress: Progress) => this.#publish(live, { ...live.record, progress }),
      save: (journal) => this.#update(live, { journal }),
    }
  }

  async #update(live: Live, change: Partial<OperationRecord>): Promise<void> {
    const next = { ...live.record, ...change }
    await this.#store.put(next.id, next)
    this.#publish(live, { ...live.record, ...change })
  }

  #publish(live: Live, record: OperationRecord): void {
    this.#noteChange(live.record, record)
    live.record = record
    this.#watchers.publish(record)
  }

  #noteChange(before: OperationRecord, { id, state, progress, error, retryOf }: OperationRecord): void {
    if (state !== before.state) {
      const why = error === undefined ? {} : { reason: error.reason, err: error.message }
      this.#logs.note(id, state, { ...why, ...(retryOf === undefined ? {} : { retryOf }) })
    } else if (progress !== undefined && progress.phase !== before.progress?.phase) {
      const { phase, bytesDone, bytesTotal } = progress
      this.#logs.note(id, `phase ${phase}`, { bytesDone, bytesTotal })
    }
  }

  async #prune(): Promise<void> {
    try {
      for (const id of await this.#history.prune(Date.now())) {
        this.#watchers.forget(id)
        await this.#logs.delete(id)
      }
    } catch (error) {
      this.#log.warn({ err: errorText(error) }, 'the history of operations could not be pruned')
    }
  }
}

function unknown(id: string): AgentError {
  return new AgentError('JOB_NOT_FOUND', `job ${id} is unknown`)
}

function interrupt({ controller, stop }: Live): void {
  const why = new AgentError('SHUTTING_DOWN', 'the agent is stopping')
  controller.abort(why)
  stop.abort(why)
}

// Waits for `work`, at most `ms`; leaves no timer behind.
async function within(work: Promise<unknown>, ms: number): Promise<void> {
  const over = new AbortController()
  const late = delay(ms, over.signal).catch(() => undefined)
  await Promise.race([work, late])
  over.abort()
}
