import { randomUUID } from 'node:crypto'
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerUnaryCall,
  ServerWritableStream,
} from '@grpc/grpc-js'
import type { AuditTrail } from '../audit/audit-trail.ts'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText, toAgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { RequestStats } from '../services/request-stats.ts'
import { auditedCall } from './audit.ts'
import { toStatus } from './status.ts'

/** What every handler shares. `streams` has a function per open stream that ends it with the given error. */
export interface CallEnvironment {
  readonly log: Logger
  readonly stats: RequestStats | undefined
  readonly audit: AuditTrail | undefined
  readonly streams: Set<(error: AgentError) => void>
}

/** Stands in for a request whose bytes could not be decoded; handlers never see it. */
export interface MalformedRequest {
  readonly malformed: string
}

/** How a method is logged: reads at debug level, changes at info and in the audit log. */
export interface MethodInfo {
  readonly name: string
  readonly changes: boolean
}

/** A unary handler around `work`, which is also told the peer (grpc-js's text). Its signal fires when the caller is gone or its deadline has passed. */
export function unary<Req, Res>(
  env: CallEnvironment,
  method: MethodInfo,
  work: (request: Req, signal: AbortSignal, peer: string) => Res | Promise<Res>,
): handleUnaryCall<Req, Res> {
  return (call, callback) => {
    const track = trackCall(env, method, call, call.request)
    const run = async () => work(await decoded(call.request), track.signal, call.getPeer())
    abortable(auditedCall(env.audit, method, call, call.request, run), track.signal)
      .then(
        (response) => {
          track.finish('OK')
          callback(null, response)
        },
        (error: unknown) => callback(track.fail(error)),
      )
      .catch((error: unknown) => env.log.error({ rpc: method.name, err: errorText(error) }, 'reply failed'))
  }
}

/** A server-streaming handler that sends what `work` yields, at the pace of the receiver. `work` is also told the caller's metadata. */
export function serverStream<Req, Res>(
  env: CallEnvironment,
  method: MethodInfo,
  work: (request: Req, signal: AbortSignal, metadata: Metadata) => AsyncIterable<Res>,
): handleServerStreamingCall<Req, Res> {
  return (call) => {
    const track = trackCall(env, method, call, call.request)
    env.streams.add(track.abort)
    const send = async () => {
      for await (const item of work(await decoded(call.request), track.signal, call.metadata))
        await write(call, item, track.signal)
    }
    abortable(auditedCall(env.audit, method, call, call.request, send), track.signal)
      .then(
        () => {
          track.finish('OK')
          call.end()
        },
        // grpc-js turns an 'error' event on the call into the final status.
        (error: unknown) => call.emit('error', track.fail(error)),
      )
      .catch((error: unknown) => env.log.error({ rpc: method.name, err: errorText(error) }, 'reply failed'))
      .finally(() => env.streams.delete(track.abort))
  }
}

async function write<Req, Res>(call: ServerWritableStream<Req, Res>, item: Res, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  if (call.write(item)) return
  const { promise, resolve } = Promise.withResolvers<void>()
  call.once('drain', resolve)
  try {
    await abortable(promise, signal)
  } finally {
    call.off('drain', resolve)
  }
}

async function decoded<Req>(request: Req | MalformedRequest): Promise<Req> {
  if (typeof request === 'object' && request !== null && 'malformed' in request) {
    throw new AgentError('INVALID_REQUEST', `request: the bytes are not a message of this method: ${request.malformed}`)
  }
  return request
}

// The part of a call that does not depend on its kind.
type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, 'once' | 'getPeer' | 'getDeadline' | 'metadata'>

interface Track {
  readonly signal: AbortSignal
  readonly abort: (error: AgentError) => void
  finish(code: string): void
  fail(error: unknown): ReturnType<typeof toStatus>
}

function trackCall(env: CallEnvironment, method: MethodInfo, call: AnyCall, request: unknown): Track {
  const controller = new AbortController()
  const startedAt = monotonicMs()
  let done = false
  // grpc-js emits 'cancelled' after a normal end too, so it only counts while the call is open.
  call.once('cancelled', () => {
    if (!done) controller.abort(reasonOfCancel(call))
  })
  const finish = (code: string) => {
    done = true
    env.stats?.record('grpc', method.name, code, monotonicMs() - startedAt)
  }
  const fields = (extra: object) => ({
    rpc: method.name,
    peer: call.getPeer(),
    ...subjectOf(request),
    durationMs: Math.round(monotonicMs() - startedAt),
    ...extra,
  })
  return {
    signal: controller.signal,
    abort: (error) => controller.abort(error),
    finish(code) {
      finish(code)
      if (method.changes) env.log.info(fields({}), 'call served')
      else env.log.trace(fields({}), 'call served')
    },
    fail(thrown) {
      const error = toAgentError(thrown)
      const requestId = requestIdOf(call)
      finish(error.code)
      const facts = fields({ requestId, code: error.code, reason: error.reason, err: error.message })
      if (error.code === 'INTERNAL' || error.code === 'UNKNOWN' || error.code === 'DATA_LOSS') {
        env.log.error({ ...facts, stack: (error.cause instanceof Error ? error.cause : error).stack }, 'call failed')
      } else env.log[method.changes ? 'warn' : 'debug'](facts, 'call failed')
      return toStatus(error, requestId)
    },
  }
}

function reasonOfCancel(call: AnyCall): AgentError {
  const deadline = call.getDeadline()
  const passed = (deadline instanceof Date ? deadline.getTime() : deadline) <= Date.now()
  return passed
    ? new AgentError('DEADLINE_EXCEEDED', 'the deadline of the caller has passed; begun work goes on')
    : new AgentError('CANCELLED', 'the caller went away; begun work goes on')
}

// A caller may bring its own id; anything that is not plain text of a sane length is replaced.
function requestIdOf(call: AnyCall): string {
  const given = call.metadata.get('x-request-id')[0]
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID()
}

// Which object a request is about: ids only, cut, so that a log line can carry neither secrets nor a flood.
function subjectOf(request: unknown): Record<string, string> {
  const subject: Record<string, string> = {}
  for (const key of ['vmId', 'poolId', 'jobId', 'imageId'] as const) {
    const value = (request as Record<string, unknown> | null)?.[key]
    if (typeof value === 'string' && value !== '') subject[key] = value.slice(0, 80)
  }
  return subject
}
