import { AuditLog } from '../audit/audit-log.ts'
import { createAuditTrail, type AuditTrail } from '../audit/audit-trail.ts'
import type { Logger } from '../core/context.ts'
import type { Config } from './config-schema.ts'
import { stateLayout } from './layout.ts'
import { VERSION } from './version.ts'

/** Where the audit log of a configuration is. */
export function auditDirectory({ audit, paths, hypervisor }: Config): string {
  return audit.directory ?? stateLayout(paths.state_dir, hypervisor.images_path).audit
}

/** The audit log of the running agent; no trail when the configuration says so. A log that cannot be written is told of, and no reason not to start. */
export async function openAudit(config: Config, log: Logger): Promise<{ trail?: AuditTrail; close(): Promise<void> }> {
  const { enabled, max_file_bytes, keep_files, required } = config.audit
  if (!enabled) return { close: () => Promise.resolve() }
  const directory = auditDirectory(config)
  const lines = new AuditLog({ directory, maxFileBytes: max_file_bytes, keepFiles: keep_files, log })
  // The log tells of its own failure.
  await lines.append({ type: 'started', version: VERSION, pid: process.pid }).catch(() => undefined)
  return { trail: createAuditTrail({ lines, required, log }), close: () => lines.close() }
}
