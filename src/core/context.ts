/** Structured log of the agent; pino implements it. `fields` never carry secrets. */
export interface Logger {
  trace(fields: object, message?: string): void
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  child(bindings: Record<string, unknown>): Logger
}

/** Progress of long work. Bytes where bytes are moved; `percent` is 0..100 and never decreases within a phase. */
export interface Progress {
  readonly phase: string
  readonly percent?: number
  readonly bytesDone?: number
  readonly bytesTotal?: number
}

/** The last argument of everything that takes time. */
export interface OpContext {
  /** Fires when the work is to end early: cancelled, deadline, or shutdown. */
  readonly signal: AbortSignal
  readonly log: Logger
  /** Reports progress; absent when nobody listens. */
  readonly progress?: (progress: Progress) => void
}

/** The same context with a deadline of `timeoutMs` from now on top of its signal. */
export function withDeadline(ctx: OpContext, timeoutMs: number): OpContext {
  return { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(timeoutMs)]) }
}

/** A logger that drops everything, for tests and for code that runs before logging is set up. */
export const silentLogger: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
}
