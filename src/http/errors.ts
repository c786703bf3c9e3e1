import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError } from 'fastify'
import type { z } from 'zod'
import { AgentError, toAgentError } from '../core/errors.ts'
import { statusOf, type ErrorBody } from './status.ts'

/** Any error that reaches the HTTP server as an AgentError with the status to answer. */
export function toHttpError(error: unknown): { status: number; error: AgentError } {
  if (error instanceof AgentError) return { status: statusOf(error), error }
  const { code, statusCode = 500, message } = error as Partial<FastifyError>
  if (typeof code === 'string' && code.startsWith('FST_ERR_') && statusCode < 500) {
    return { status: statusCode, error: fromFrameworkError(statusCode, String(message), error) }
  }
  const other = toAgentError(error)
  return { status: statusOf(other), error: other }
}

// fastify's own complaints about a request: body, media type, URL.
function fromFrameworkError(status: number, message: string, cause: unknown): AgentError {
  if (status === 413)
    return new AgentError('BODY_TOO_LARGE', 'the request body is larger than this server accepts', { cause })
  if (status === 415) {
    return new AgentError('INVALID_REQUEST', 'the content type is not served; send application/json', { cause })
  }
  return new AgentError('INVALID_REQUEST', `request: ${message.slice(0, 300)}`, { cause })
}

/** A failed validation as INVALID_REQUEST naming the first wrong field; values are never quoted. */
export function fromZodError(error: z.ZodError, place: string): AgentError {
  const issue = error.issues[0]
  const path = (issue?.path ?? []).map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key).slice(0, 64)}`))
  return new AgentError('INVALID_REQUEST', `${place}${path.join('')}: ${issue?.message ?? 'is not valid'}`)
}

/** Answers what Node could not even parse as a request, in the form of every other error. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (socket.destroyed || !socket.writable) return
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const body = JSON.stringify({
    error: 'invalid_request',
    message: `the bytes are not an HTTP request that this server takes (${error.code ?? 'unknown'})`,
  } satisfies ErrorBody)
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
