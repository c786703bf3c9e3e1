import { fork, type ChildProcess } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import path from 'node:path'
import type { Logger } from '../core/context.ts'
import { AgentError, fromErrorRecord, isAgentError, toErrorRecord, type ErrorRecord } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'

/** Requests a worker process answers, by method name. `signal` fires when the caller gave up. */
export type WorkerHandlers = Readonly<Record<string, WorkerHandler>>
export type WorkerHandler = (params: never, call: WorkerCall) => Promise<unknown>

/** What a handler gets beside its parameters. */
export interface WorkerCall {
  readonly signal: AbortSignal
  /** Sends an event to the caller of this request (progress). */
  emit(event: unknown): void
}

type ToWorker = { id: number; method: string; params: unknown } | { cancel: number }
type FromWorker =
  { id: number; value: unknown } | { id: number; error: ErrorRecord } | { id: number; event: unknown } | { ready: true }

/** How long a worker may take to leave after SIGKILL before it counts as stuck in the kernel. */
const STUCK_AFTER_MS = 2_000
/** How long a worker may take to start; the deadlines of its calls begin after that, so that a busy host is not taken for a dead file system. */
const START_TIMEOUT_MS = 30_000

/** By how much a process is nicer (nice(2)) than the agent whose work can wait for that of the agent and of its other helpers. */
const BACKGROUND_NICE = 10
const MAX_NICE = 19
/** Reads, writes and syncs that such a process has under way at once: a sync keeps a thread for as long as the disk takes. Node's own number is 4. */
const BACKGROUND_IO_THREADS = '8'

/** Of util-linux. By its path: what the agent finds tools by has nothing to do with whether it has workers. */
const SETPRIV = '/usr/bin/setpriv'

export interface WorkerTraits {
  /** Moves bytes for long and yields the processor to whatever answers somebody, with all its threads and children. */
  readonly background?: boolean
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly onEvent: ((event: unknown) => void) | undefined
  /** Begins the deadline of the call. */
  readonly begin: () => void
}

export interface CallOptions {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly onEvent?: (event: never) => void
  /**
   * What to do with the process when the deadline passes. `kill` (default): it is taken to hang on a dead file system. `cancel`: it is told to
   * stop this one request.
   */
  readonly onTimeout?: 'kill' | 'cancel'
  /** The process is up and the deadline of this call begins. */
  readonly onBegin?: () => void
  /** The call changes nothing: it is made once more when the process was killed because another call hung, perhaps on other storage. */
  readonly repeatable?: boolean
}

/** `details.cause` of a WORKER_DIED that another call brought about. */
const ANOTHER_HUNG = 'ANOTHER_CALL_HUNG'

/**
 * A child process of this program that does what may block. Started at the first call, again after it died; killed at a call's deadline, and by the kernel when the agent dies. One that does
 * not even die is abandoned and counted in `stuck`.
 */
export class WorkerProcess {
  readonly #kind: string
  readonly #name: string
  readonly #log: Logger
  readonly #traits: WorkerTraits
  #child: ChildProcess | undefined
  #ready = false
  readonly #leaving = new Set<ChildProcess>()
  #pending = new Map<number, Pending>()
  #nextId = 1
  #stuck = 0
  #closed = false

  constructor(kind: string, name: string, log: Logger, traits: WorkerTraits = {}) {
    this.#kind = kind
    this.#name = name
    this.#traits = traits
    this.#log = log.child({ worker: name })
  }

  /** Processes that were killed and have not left the kernel yet. */
  get stuck(): number {
    return this.#stuck
  }

  /** Pid of the live process, if there is one. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Calls `method`. Errors: those of the handler, DEADLINE_EXCEEDED, CANCELLED (abort reason), WORKER_DIED, WORKER_STUCK, SHUTTING_DOWN. */
  async call<T>(method: string, params: unknown, options: CallOptions): Promise<T> {
    try {
      return await this.#callOnce<T>(method, params, options)
    } catch (error) {
      const innocent = isAgentError(error, 'WORKER_DIED') && error.details.cause === ANOTHER_HUNG
      if (!innocent || options.repeatable !== true) throw error
      return this.#callOnce<T>(method, params, options)
    }
  }

  async #callOnce<T>(method: string, params: unknown, options: CallOptions): Promise<T> {
    options.signal.throwIfAborted()
    if (this.#child === undefined && this.#leaving.size > 0) await abortable(this.#left(), options.signal)
    if (this.#closed) throw new AgentError('SHUTTING_DOWN', `the ${this.#name} worker is closed`)
    if (this.#stuck > 0)
      throw new AgentError('WORKER_STUCK', `a helper of ${this.#name} hangs in the kernel on a dead file system`)
    const child = this.#child ?? this.#start()
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const expire = (text: string) => {
      // When this process stood still past the deadline, the answer may be there: it is read first.
      setImmediate(() => {
        if (!this.#pending.has(id)) return
        reject(new AgentError('DEADLINE_EXCEEDED', `${this.#name}: ${text}`))
        if (options.onTimeout === 'cancel') send(child, { cancel: id })
        else this.#kill(child, 'deadline passed')
      })
    }
    let timer = setTimeout(() => expire(`no helper within ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS)
    const begin = () => {
      options.onBegin?.()
      clearTimeout(timer)
      timer = setTimeout(
        () => expire(`${method} did not answer within ${options.timeoutMs / 1000} s`),
        options.timeoutMs,
      )
    }
    this.#pending.set(id, { resolve, reject, onEvent: options.onEvent as Pending['onEvent'], begin })
    if (this.#ready) begin()
    const onAbort = () => {
      send(child, { cancel: id })
      reject(options.signal.reason)
    }
    options.signal.addEventListener('abort', onAbort, { once: true })
    send(child, { id, method, params })
    try {
      return (await promise) as T
    } finally {
      clearTimeout(timer)
      options.signal.removeEventListener('abort', onAbort)
      this.#pending.delete(id)
    }
  }

  /** Starts the process ahead of its first use. */
  warm(): void {
    if (!this.#closed && this.#child === undefined) this.#start()
  }

  /** Ends the process and waits until it has left, or counts as stuck; calls in flight fail with SHUTTING_DOWN, a later call starts another one. */
  async reset(): Promise<void> {
    const child = this.#child
    if (child !== undefined)
      this.#kill(child, 'no longer needed', new AgentError('SHUTTING_DOWN', `${this.#name} ends`))
    await this.#left()
  }

  /** Ends the process; calls in flight fail with SHUTTING_DOWN. */
  close(): void {
    this.#closed = true
    const child = this.#child
    this.#child = undefined
    this.#failAll(new AgentError('SHUTTING_DOWN', `the ${this.#name} worker is closed`))
    child?.kill('SIGKILL')
  }

  // Resolves when what was killed has left, or counts as stuck: there never are two processes at work on one file system.
  async #left(): Promise<void> {
    const left = [...this.#leaving].map((each) => new Promise((resolve) => each.once('exit', resolve)))
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, STUCK_AFTER_MS)
    await Promise.race([Promise.all(left), late])
    clearTimeout(timer)
  }

  #start(): ChildProcess {
    const background = this.#traits.background === true
    const child = fork(entryFile(), ['worker', this.#kind], {
      env: { ...process.env, ...(background ? { UV_THREADPOOL_SIZE: BACKGROUND_IO_THREADS } : {}) },
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // The kernel ends it with the agent. One that only learned of that by its channel could write to a pool while the next agent clears up there.
      execPath: SETPRIV,
      // Not what test runners and inspectors put here for themselves. Small young generation: workers move bytes, not objects.
      execArgv: ['--pdeathsig', 'KILL', '--', process.execPath, '--max-semi-space-size=1'],
    })
    // At once, for the threads it will have inherit it.
    if (background && child.pid !== undefined) yieldProcessor([child.pid])
    child.on('message', (message: FromWorker) => this.#onMessage(child, message))
    child.on('error', (error) => this.#onGone(child, error.message))
    child.on('exit', (code, signal) => this.#onGone(child, signal ?? `exit code ${code}`))
    // The worker leaves with its channel: it must not keep the agent alive.
    child.unref()
    child.channel?.unref()
    this.#child = child
    this.#ready = false
    return child
  }

  #onMessage(child: ChildProcess, message: FromWorker): void {
    if ('ready' in message) {
      if (this.#child !== child) return
      // On Linux each thread has its own priority, and those that began before the first word to the process do not have it.
      if (this.#traits.background === true) yieldProcessor(threadsOf(child))
      this.#ready = true
      for (const call of this.#pending.values()) call.begin()
      return
    }
    const call = this.#pending.get(message.id)
    if (call === undefined) return
    if ('event' in message) call.onEvent?.(message.event)
    else if ('error' in message) call.reject(fromErrorRecord(message.error))
    else call.resolve(message.value)
  }

  #onGone(child: ChildProcess, why: string): void {
    if (this.#child !== child) return
    this.#child = undefined
    if (this.#closed) return
    if (this.#pending.size > 0) this.#log.warn({ why, calls: this.#pending.size }, 'worker ended with calls in flight')
    this.#failAll(new AgentError('WORKER_DIED', `the ${this.#name} worker ended (${why}) before it answered`))
  }

  #kill(
    child: ChildProcess,
    why: string,
    error = new AgentError('WORKER_DIED', `the ${this.#name} worker was killed because another of its calls hung`, {
      details: { cause: ANOTHER_HUNG },
    }),
  ): void {
    if (this.#child === child) this.#child = undefined
    this.#log.debug({ why, pid: child.pid }, 'killing worker')
    this.#failAll(error)
    child.kill('SIGKILL')
    if (child.exitCode !== null || child.signalCode !== null) return
    this.#leaving.add(child)
    child.once('exit', () => this.#leaving.delete(child))
    const stuckTimer = setTimeout(() => {
      this.#stuck++
      this.#log.error({ pid: child.pid }, 'worker does not die: stuck in the kernel')
      child.once('exit', () => this.#stuck--)
    }, STUCK_AFTER_MS)
    stuckTimer.unref()
    child.once('exit', () => clearTimeout(stuckTimer))
  }

  #failAll(error: AgentError): void {
    for (const call of this.#pending.values()) call.reject(error)
    this.#pending.clear()
  }
}

/** The worker's side: answers requests from the parent until the channel closes, then exits. */
export function serveWorker(handlers: WorkerHandlers): void {
  const running = new Map<number, AbortController>()
  const reply = (message: FromWorker) => process.send?.(message)
  process.on('disconnect', () => process.exit(0))
  process.on('message', (message: ToWorker) => {
    if ('cancel' in message) {
      running.get(message.cancel)?.abort(new AgentError('CANCELLED', 'the request was cancelled'))
      return
    }
    const { id, method, params } = message
    const controller = new AbortController()
    running.set(id, controller)
    const handler = handlers[method]
    const work = handler
      ? handler(params as never, { signal: controller.signal, emit: (event) => reply({ id, event }) })
      : Promise.reject(new AgentError('INTERNAL', `worker has no method ${method}`))
    work
      .then(
        (value) => reply({ id, value }),
        (error: unknown) => reply({ id, error: toErrorRecord(error) }),
      )
      .finally(() => running.delete(id))
      .catch(() => process.exit(1))
  })
  reply({ ready: true })
}

function yieldProcessor(threads: readonly number[]): void {
  for (const thread of threads) {
    try {
      setPriority(thread, Math.min(MAX_NICE, getPriority() + BACKGROUND_NICE))
    } catch {
      // It has ended; of a process, that is told by 'exit'.
    }
  }
}

function threadsOf({ pid }: ChildProcess): number[] {
  try {
    return readdirSync(`/proc/${pid ?? 0}/task`).map(Number)
  } catch {
    return []
  }
}

function send(child: ChildProcess, message: ToWorker): void {
  // A closed channel is reported by 'exit'; the callback keeps Node from throwing it here.
  if (child.connected) child.send(message, () => undefined)
}

// In a checkout this file is src/platform/workers.ts, and whoever runs it may be a test; a bundle (scripts/build.ts) is started by its program, which this is some part of.
function entryFile(): string {
  const { filename, dirname } = import.meta
  const [, program] = process.argv
  return path.basename(filename) === 'workers.ts' || program === undefined
    ? path.join(dirname, '..', 'main.ts')
    : program
}
