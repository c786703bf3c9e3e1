import type { ErrorCode } from './error-code.ts'
import { REASONS, type Reason } from './reasons.ts'

/** Extra facts of an error for logs and clients: short strings only, never secrets. */
export type ErrorDetails = Readonly<Record<string, string>>

/**
 * The one error type that crosses a module border. `reason` is stable and documented in docs/errors.md; `code` follows from it;
 * `message` names the object and says what to do.
 */
export class AgentError extends Error {
  readonly reason: Reason
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(reason: Reason, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AgentError'
    this.reason = reason
    this.code = REASONS[reason].code
    this.details = options.details ?? {}
  }
}

/** What is kept of an error in a persisted record. */
export interface ErrorRecord {
  readonly code: ErrorCode
  readonly reason: Reason
  readonly message: string
  readonly details: ErrorDetails
}

/** True for an AgentError with one of the given reasons (any AgentError when none is given). */
export function isAgentError(error: unknown, ...reasons: Reason[]): error is AgentError {
  return error instanceof AgentError && (reasons.length === 0 || reasons.includes(error.reason))
}

/** Any thrown value as an AgentError: itself, CANCELLED for an abort, else INTERNAL with the original as its cause. */
export function toAgentError(error: unknown): AgentError {
  if (error instanceof AgentError) return error
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new AgentError('DEADLINE_EXCEEDED', 'the operation did not finish before its deadline', { cause: error })
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new AgentError('CANCELLED', 'the operation was cancelled', { cause: error })
  }
  return new AgentError('INTERNAL', `internal error: ${errorText(error)}`, { cause: error })
}

/** The message of any thrown value. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** An error as a plain record that survives JSON. */
export function toErrorRecord(error: unknown): ErrorRecord {
  const e = toAgentError(error)
  return { code: e.code, reason: e.reason, message: e.message, details: e.details }
}

/** The error a persisted record stands for. */
export function fromErrorRecord(record: ErrorRecord): AgentError {
  const reason = record.reason in REASONS ? record.reason : 'INTERNAL'
  return new AgentError(reason, record.message, { details: record.details })
}
