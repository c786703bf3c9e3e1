import type { z } from 'zod'
import { AgentError, errorText } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { REASONS, type Reason } from '../../core/reasons.ts'
import type { JsonPoster } from '../../platform/json-poster.ts'
import { aliveSchema, checkSchema, openedSchema, outcomeSchema, preparedSchema } from './message-schemas.ts'
import type { MigrationTarget } from './messages.ts'

/** Routes of the target for sources; the one owner of these paths. */
export const INCOMING_ROUTES = {
  check: '/api/v1/migrations/incoming/check',
  open: '/api/v1/migrations/incoming/open',
  prepare: '/api/v1/migrations/incoming/prepare',
  alive: '/api/v1/migrations/incoming/alive',
  finish: '/api/v1/migrations/incoming/finish',
} as const

const HTTP_PORT = 8080
const HTTPS_PORT = 8443
/** What a target says of the migration itself, which is passed on as it is. */
const OWN_REASONS: ReadonlySet<Reason> = new Set(['MIGRATION_REFUSED', 'MIGRATION_FAILED', 'MIGRATION_NOT_EXPECTED'])

/**
 * The origin of the agent that a caller names: a URL of its HTTP listener as it is; a host, with whatever port and scheme of another protocol (`host:9090`, `qemu+tls://host/system`), with the usual port of
 * that listener. INVALID_REQUEST otherwise.
 */
export function targetOrigin(text: string, encrypted: boolean): string {
  const given = text.trim()
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `agent://${given}`)
  if (url === null || url.hostname === '' || url.username !== '' || url.password !== '')
    throw new AgentError(
      'INVALID_REQUEST',
      `target_node_uri: ${quote(text)} names no host; give its URL, such as https://host:${HTTPS_PORT}`,
    )
  if (url.protocol === 'http:' || url.protocol === 'https:') return url.origin
  return encrypted ? `https://${url.hostname}:${HTTPS_PORT}` : `http://${url.hostname}:${HTTP_PORT}`
}

/** A target behind the HTTP listener of another agent. */
export function remoteTarget(origin: string, poster: JsonPoster): MigrationTarget {
  const ask = async <T>(path: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> => {
    let answer
    try {
      answer = await poster.post(path, body, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw unavailable(origin, errorText(error), error)
    }
    if (answer.status === 200) {
      const parsed = schema.safeParse(answer.json)
      if (parsed.success) return parsed.data
      throw unavailable(origin, 'it answered in another form')
    }
    const { error, message } = (answer.json ?? {}) as { error?: unknown; message?: unknown }
    const reason = String(error).toUpperCase()
    const words = typeof message === 'string' ? message.slice(0, 2000) : 'no message'
    if (Object.hasOwn(REASONS, reason) && OWN_REASONS.has(reason as Reason))
      throw new AgentError(reason as Reason, words)
    throw unavailable(origin, `HTTP ${answer.status}: ${words}`)
  }
  return {
    check: (offer, signal) => ask(INCOMING_ROUTES.check, { offer }, checkSchema, signal),
    open: (offer, files, signal) => ask(INCOMING_ROUTES.open, { offer, files }, openedSchema, signal),
    prepare: (id, call, signal) => ask(INCOMING_ROUTES.prepare, { id, ...call }, preparedSchema, signal),
    alive: async (id, signal) => (await ask(INCOMING_ROUTES.alive, { id }, aliveSchema, signal)).alive,
    // What is undefined is not sent.
    finish: (id, vmId, cookie, signal, consoleTail) =>
      ask(INCOMING_ROUTES.finish, { id, vmId, cookie, consoleTail }, outcomeSchema, signal),
  }
}

function unavailable(origin: string, why: string, cause?: unknown): AgentError {
  return new AgentError('MIGRATION_PEER_UNAVAILABLE', `the agent at ${origin} cannot be asked: ${why}`, { cause })
}
