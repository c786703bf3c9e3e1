import type { OutgoingCall, StreamSink } from './connection.ts'
import { LibvirtTimeout } from './errors.ts'
import type { Procedure, Program } from './program.ts'

/** What a call is made of. */
export interface CallSpec {
  readonly name: string
  readonly program: Program
  readonly procedure: Procedure
  readonly args: unknown
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  readonly stream?: StreamSink
}

/**
 * One call from its queue to its answer. The caller is answered at the first of reply, deadline, abort and loss of the connection; the slot on
 * the connection is released only by the reply or the loss, since the protocol cannot take a call back.
 */
export class PendingCall implements OutgoingCall {
  readonly name: string
  readonly program: Program
  readonly procedure: Procedure
  readonly args: unknown
  readonly stream?: StreamSink
  readonly promise: Promise<unknown>
  /** Set by whoever sends the call: runs when the daemon is done with it. */
  onReleased: (() => void) | undefined
  /** Set by the queue: runs when the caller gives up before the call was sent. */
  onDropped: (() => void) | undefined
  #sent = false
  #settled = false
  #resolve!: (value: unknown) => void
  #reject!: (error: Error) => void
  readonly #timeoutMs: number
  readonly #timer: NodeJS.Timeout
  readonly #signal: AbortSignal | undefined

  constructor(spec: CallSpec) {
    this.name = spec.name
    this.program = spec.program
    this.procedure = spec.procedure
    this.args = spec.args
    if (spec.stream !== undefined) this.stream = spec.stream
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#timeoutMs = spec.timeoutMs
    this.#timer = setTimeout(this.#onTimeout, spec.timeoutMs)
    this.#signal = spec.signal
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (this.#signal?.aborted === true) this.#onAbort()
  }

  /** True when the caller has its answer, whatever the daemon still does. */
  get settled(): boolean {
    return this.#settled
  }

  markSent(): void {
    this.#sent = true
    this.onDropped = undefined
  }

  done(error: Error | undefined, value: unknown): void {
    this.#settle(error, value)
    this.onReleased?.()
  }

  /** Answers the caller of a call that was never sent. */
  fail(error: Error): void {
    this.#settle(error, undefined)
  }

  #settle(error: Error | undefined, value: unknown): void {
    if (this.#settled) return
    this.#settled = true
    clearTimeout(this.#timer)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    if (error === undefined) this.#resolve(value)
    else this.#reject(error)
  }

  readonly #onTimeout = (): void => {
    this.#giveUp(new LibvirtTimeout(this.name, this.#timeoutMs, this.#sent))
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#signal?.reason
    this.#giveUp(reason instanceof Error ? reason : new Error(`${this.name} was cancelled`, { cause: reason }))
  }

  #giveUp(error: Error): void {
    if (this.#settled) return
    this.#settle(error, undefined)
    this.onDropped?.()
  }
}
