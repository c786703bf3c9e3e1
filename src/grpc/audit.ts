import type { ServerUnaryCall } from '@grpc/grpc-js'
import { GONE, type AuditCaller } from '../audit/audit-line.ts'
import type { AuditTrail } from '../audit/audit-trail.ts'
import { auditedObjects } from '../audit/audited-objects.ts'
import { certificateSubject } from '../audit/certificate-subject.ts'
import { isLocalPeer, peerAddress } from './peer-filter.ts'

/** The part of a call that tells who calls. */
export type CallPeer = Pick<ServerUnaryCall<unknown, unknown>, 'getPeer' | 'getAuthContext'>

/** Runs the work of a method; when the method changes something, between the two lines of the audit log. */
export async function auditedCall<T>(
  audit: AuditTrail | undefined,
  method: { readonly name: string; readonly changes: boolean },
  call: CallPeer,
  request: unknown,
  work: () => T | Promise<T>,
): Promise<T> {
  if (audit === undefined || !method.changes) return work()
  const about = { caller: callerOf(call), method: method.name, objects: auditedObjects(request) }
  return audit.audited(about, work, auditedObjects)
}

/** Who calls, as far as the connection shows it. */
export function callerOf(call: CallPeer): AuditCaller {
  const peer = call.getPeer()
  const subject = certificateSubject(call.getAuthContext().sslPeerCertificate)
  return {
    ...(isLocalPeer(peer) ? { via: 'unix' } : { via: 'grpc', peer: peerAddress(peer) ?? GONE }),
    ...(subject === undefined ? {} : { subject }),
  }
}
