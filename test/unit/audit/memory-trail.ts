import type { AuditEvent } from '../../../src/audit/audit-line.ts'
import { createAuditTrail, type AuditTrail } from '../../../src/audit/audit-trail.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'

/** A trail whose lines are kept in memory; with `full` it refuses every line. */
export function memoryTrail(options: { full?: boolean; required?: boolean } = {}): {
  trail: AuditTrail
  events: AuditEvent[]
} {
  const events: AuditEvent[] = []
  const lines = {
    async append(event: AuditEvent) {
      events.push(event)
      if (options.full === true) throw new AgentError('AUDIT_UNAVAILABLE', 'the audit log cannot be written: ENOSPC')
    },
    status: () => ({ healthy: options.full !== true, lines: events.length, waiting: 0, lost: 0 }),
  }
  return { trail: createAuditTrail({ lines, required: options.required === true, log: silentLogger }), events }
}
