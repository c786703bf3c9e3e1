import type { ErrorCode } from '../core/error-code.ts'
import type { AgentError } from '../core/errors.ts'
import type { Reason } from '../core/reasons.ts'
import { wireText } from '../core/wire-text.ts'

/** HTTP status of every failure class; the one place where the two meet. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 409,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
}

// Where HTTP has a more exact word than the class of the reason.
const EXACT_STATUS: Readonly<Partial<Record<Reason, number>>> = {
  BODY_TOO_LARGE: 413,
  LISTING_TOO_LARGE: 413,
  POOL_FULL: 507,
  RANGE_NOT_SATISFIABLE: 416,
}

/** Error body of every route: the reason in lower case, and text for people. */
export interface ErrorBody {
  readonly error: string
  readonly message: string
}

/** Status of an error. */
export function statusOf(error: AgentError): number {
  return EXACT_STATUS[error.reason] ?? HTTP_STATUS[error.code]
}

/** Body of an error, without the words that control planes act on unless they are meant. */
export function errorBody(error: AgentError): ErrorBody {
  return { error: error.reason.toLowerCase(), message: wireText(error) }
}
