import { randomBytes } from 'node:crypto'
import type { Logger } from '../core/context.ts'
import { errorText, toAgentError } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { AuditCall, AuditEvent } from './audit-line.ts'
import type { AuditStatus } from './audit-log.ts'

/** What the transports tell of calls that change something. */
export interface AuditTrail {
  /**
   * Runs `work` between its two lines. The first is on disk before it begins; when that fails, the call is refused with AUDIT_UNAVAILABLE if the configuration demands it,
   * else it goes on and its lines follow later. `made` are ids that only the answer has.
   */
  audited<T>(call: AuditCall, work: () => T | Promise<T>, made?: (answer: T) => AuditCall['objects']): Promise<T>
  /** Tells of a call that was turned away before it could begin. */
  refused(call: AuditCall, result: string): void
  status(): AuditStatus
}

interface Parts {
  readonly lines: { append(event: AuditEvent): Promise<void>; status(): AuditStatus }
  /** Calls that cannot be recorded are refused. */
  readonly required: boolean
  readonly log: Logger
}

/** The trail over an AuditLog. */
export function createAuditTrail({ lines, required, log }: Parts): AuditTrail {
  const tell = (event: AuditEvent) => {
    // The log itself tells that it cannot be written, once.
    lines.append(event).catch((error: unknown) => log.debug({ err: errorText(error) }, 'an audit line has to wait'))
  }
  return {
    async audited(call, work, made) {
      const id = randomBytes(8).toString('hex')
      const startedAt = monotonicMs()
      const finish = (result: string, objects = call.objects) =>
        tell({ type: 'result', id, result, durationMs: Math.round(monotonicMs() - startedAt), ...call, objects })
      try {
        await lines.append({ type: 'call', id, ...call })
      } catch (error) {
        if (required) {
          finish(toAgentError(error).reason)
          throw error
        }
      }
      try {
        const answer = await work()
        finish('OK', { ...made?.(answer), ...call.objects })
        return answer
      } catch (error) {
        finish(toAgentError(error).reason)
        throw error
      }
    },
    refused: (call, result) => tell({ type: 'refused', result, ...call }),
    status: () => lines.status(),
  }
}
