import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GONE, type AuditCall, type AuditCaller } from '../audit/audit-line.ts'
import type { AuditTrail } from '../audit/audit-trail.ts'
import { auditedObjects } from '../audit/audited-objects.ts'
import { certificateSubject } from '../audit/certificate-subject.ts'
import { toHttpError } from './errors.ts'
import type { Route, RouteAnswer } from './route.ts'

/** What the hooks of one server share. */
export interface RequestAudit {
  readonly trail: AuditTrail | undefined
  /** Whether the server listens on the agent's own socket. */
  readonly local: boolean
  /** Requests whose work was begun, so that their lines are told of. */
  readonly begun: WeakSet<FastifyRequest>
}

/** Whether a route changes something, and so is told of in the audit log. */
export function changesSomething({ method, changes }: Pick<Route, 'method' | 'changes'>): boolean {
  return changes ?? method !== 'GET'
}

/** Runs the work of a request; when its route changes something, between the two lines of the audit log. */
export async function auditedRequest(
  { trail, local, begun }: RequestAudit,
  route: Route,
  request: FastifyRequest,
  work: () => RouteAnswer | Promise<RouteAnswer>,
): Promise<RouteAnswer> {
  if (trail === undefined || !changesSomething(route)) return work()
  begun.add(request)
  return trail.audited(callOf(request, local), work, ({ body }) => auditedObjects(body))
}

/** Tells of requests to routes that change something which were turned away before their work began. */
export function auditRefusals(
  app: FastifyInstance,
  routes: readonly Route[],
  { trail, local, begun }: RequestAudit,
): void {
  if (trail === undefined) return
  const audited = new Set(routes.filter(changesSomething).map(({ method, url }) => `${method} ${url}`))
  app.addHook('onError', async (request, _reply, error) => {
    if (begun.has(request) || !audited.has(routeOf(request))) return
    trail.refused(callOf(request, local), toHttpError(error).error.reason)
  })
}

/** Who calls, as far as the connection shows it; over the agent's own socket the command on this host also says for whom. */
export function callerOf(
  { raw: { socket }, headers }: Pick<FastifyRequest, 'raw' | 'headers'>,
  local: boolean,
): AuditCaller {
  if (local) {
    const user = headers['limiquantix-user']
    const isName = typeof user === 'string' && /^[\w.@\\-]{1,64}$/.test(user)
    return isName ? { via: 'unix', user } : { via: 'unix' }
  }
  const certificate = 'getPeerCertificate' in socket ? (socket as TLSSocket).getPeerCertificate() : undefined
  const subject = certificateSubject(certificate)
  return {
    via: 'http',
    peer: socket.remoteAddress?.replace(/^::ffff:/, '') ?? GONE,
    ...(subject === undefined ? {} : { subject }),
  }
}

function callOf(request: FastifyRequest, local: boolean): AuditCall {
  const objects = auditedObjects(request.query, request.body, request.params)
  return { caller: callerOf(request, local), method: routeOf(request), objects }
}

const routeOf = ({ method, routeOptions }: FastifyRequest) => `${method} ${routeOptions.url ?? ''}`
