import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import type { Logger } from '../core/context.ts'
import { AgentError, fromErrorRecord, toErrorRecord, type ErrorRecord } from '../core/errors.ts'

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

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly onEvent: ((event: unknown) => void) | undefined
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
}

/**
 * A child process of this program that does what may block. Started at the first call, again after it died; killed at a call's deadline. One that does not
 * even die is abandoned and counted in `stuck`.
 */
export class WorkerProcess {
  readonly #kind: string
  readonly #name: string
  readonly #log: Logger
  #child: ChildProcess | undefined
  #pending = new Map<number, Pending>()
  #nextId = 1
  #stuck = 0
  #closed = false

  constructor(kind: string, name: string, log: Logger) {
    this.#kind = kind
    this.#name = name
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
    options.signal.throwIfAborted()
    if (this.#closed) throw new AgentError('SHUTTING_DOWN', `the ${this.#name} worker is closed`)
    if (this.#stuck > 0)
      throw new AgentError('WORKER_STUCK', `a helper of ${this.#name} hangs in the kernel on a dead file system`)
    const child = this.#child ?? this.#start()
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#pending.set(id, { resolve, reject, onEvent: options.onEvent as Pending['onEvent'] })
    const timer = setTimeout(() => {
      reject(
        new AgentError(
          'DEADLINE_EXCEEDED',
          `${this.#name}: ${method} did not answer within ${options.timeoutMs / 1000} s`,
        ),
      )
      if (options.onTimeout === 'cancel') send(child, { cancel: id })
      else this.#kill(child, 'deadline passed')
    }, options.timeoutMs)
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

  /** Ends the process; calls in flight fail with SHUTTING_DOWN. */
  close(): void {
    this.#closed = true
    const child = this.#child
    this.#child = undefined
    this.#failAll(new AgentError('SHUTTING_DOWN', `the ${this.#name} worker is closed`))
    child?.kill('SIGKILL')
  }

  #start(): ChildProcess {
    const child = fork(entryFile(), ['worker', this.#kind], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Not what test runners and inspectors put here for themselves. Small young generation: workers move bytes, not objects.
      execArgv: ['--max-semi-space-size=1'],
    })
    child.on('message', (message: FromWorker) => this.#onMessage(message))
    child.on('error', (error) => this.#onGone(child, error.message))
    child.on('exit', (code, signal) => this.#onGone(child, signal ?? `exit code ${code}`))
    // The worker leaves with its channel: it must not keep the agent alive.
    child.unref()
    child.channel?.unref()
    this.#child = child
    return child
  }

  #onMessage(message: FromWorker): void {
    if ('ready' in message) return
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

  #kill(child: ChildProcess, why: string): void {
    if (this.#child === child) this.#child = undefined
    this.#log.warn({ why, pid: child.pid }, 'killing worker')
    this.#failAll(
      new AgentError('WORKER_DIED', `the ${this.#name} worker was killed because another of its calls hung`),
    )
    child.kill('SIGKILL')
    if (child.exitCode !== null || child.signalCode !== null) return
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

function send(child: ChildProcess, message: ToWorker): void {
  // A closed channel is reported by 'exit'; the callback keeps Node from throwing it here.
  if (child.connected) child.send(message, () => undefined)
}

// In a checkout this file is src/platform/workers.ts; in a bundle it is the program itself.
function entryFile(): string {
  const here = import.meta.filename
  return path.basename(here) === 'workers.ts' ? path.join(import.meta.dirname, '..', 'main.ts') : here
}
