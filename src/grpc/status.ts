import { Metadata, status, type StatusObject } from '@grpc/grpc-js'
import type { ErrorCode } from '../core/error-code.ts'
import type { AgentError } from '../core/errors.ts'
import { neutralise, wireText } from '../core/wire-text.ts'
import { encodeStatusDetails } from './error-details.ts'

/** gRPC status of every failure class; the one place where the two meet. */
export const GRPC_STATUS: Readonly<Record<ErrorCode, status>> = {
  CANCELLED: status.CANCELLED,
  UNKNOWN: status.UNKNOWN,
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  DEADLINE_EXCEEDED: status.DEADLINE_EXCEEDED,
  NOT_FOUND: status.NOT_FOUND,
  ALREADY_EXISTS: status.ALREADY_EXISTS,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  RESOURCE_EXHAUSTED: status.RESOURCE_EXHAUSTED,
  FAILED_PRECONDITION: status.FAILED_PRECONDITION,
  ABORTED: status.ABORTED,
  OUT_OF_RANGE: status.OUT_OF_RANGE,
  UNIMPLEMENTED: status.UNIMPLEMENTED,
  INTERNAL: status.INTERNAL,
  UNAVAILABLE: status.UNAVAILABLE,
  DATA_LOSS: status.DATA_LOSS,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
}

/** Trailers of every failed call: the stable reason of docs/errors.md, and the id under which the agent's log has the call. */
const REASON_TRAILER = 'limiquantix-reason'
const REQUEST_ID_TRAILER = 'limiquantix-request-id'

// Status texts travel in HTTP/2 headers, for which common servers and proxies admit 8 KiB in all.
const MAX_TEXT = 2_000

/** An error as a gRPC status: text without trigger words, reason and details in the trailers. */
export function toStatus(error: AgentError, requestId: string): StatusObject {
  const code = GRPC_STATUS[error.code]
  const full = wireText(error)
  const details = full.length > MAX_TEXT ? `${full.slice(0, MAX_TEXT - 3)}...` : full
  const facts = Object.entries(error.details).map(([key, value]) => [key, neutralise(value).slice(0, 256)] as const)
  const metadata = new Metadata()
  metadata.set(REASON_TRAILER, error.reason)
  metadata.set(REQUEST_ID_TRAILER, requestId)
  metadata.set(
    'grpc-status-details-bin',
    encodeStatusDetails(code, details, error.reason, Object.fromEntries(facts.slice(0, 16))),
  )
  return { code, details, metadata }
}
