import type { Logger } from '../../core/context.ts'
import type { KeyedLock } from '../../core/keyed-lock.ts'
import type { OperationManager } from '../../operations/manager.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupCalls } from './backup-job.ts'

/** What exports are opened and ended with. */
export interface ExportParts {
  readonly deps: DomainDeps
  readonly client: BackupCalls
  readonly operations: OperationManager
  readonly locks: KeyedLock
  readonly log: Logger
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}
