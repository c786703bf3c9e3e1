import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js'
import type { AuditTrail } from '../audit/audit-trail.ts'
import { clientIdentity, requireScope } from '../certificates/client-scopes.ts'
import { toAgentError } from '../core/errors.ts'
import { callerOf } from './audit.ts'
import { methodScope } from './method-scopes.ts'
import { toStatus } from './status.ts'

/** Ends calls that the certificate of the caller does not allow, before any handler sees them, and tells the audit log of changes among them. Errors: those of `requireScope`. */
export function scopeFilter(audit: AuditTrail | undefined): ServerInterceptor {
  return ({ path }, call) => {
    const scope = methodScope(path)
    try {
      const { sslPeerCertificate } = call.getAuthContext()
      const client = sslPeerCertificate === undefined ? undefined : clientIdentity(sslPeerCertificate)
      requireScope(client, scope, path.slice(1))
      return new ServerInterceptingCall(call)
    } catch (error) {
      const refusal = toAgentError(error)
      const method = path.split('/').at(-1) ?? ''
      if (scope !== 'read') audit?.refused({ caller: callerOf(call), method, objects: {} }, refusal.reason)
      const { metadata, ...status } = toStatus(refusal, '-')
      return new ServerInterceptingCall(call, {
        start: () => call.sendStatus({ ...status, metadata: metadata ?? new Metadata() }),
      })
    }
  }
}
