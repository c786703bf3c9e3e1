import type { Logger } from '../../core/context.ts'
import type { KeyedLock } from '../../core/keyed-lock.ts'
import type { OperationManager } from '../../operations/manager.ts'
import type { VolumeManager } from '../../storage/volume-manager.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupCatalog } from './backup-catalog.ts'
import type { BackupCalls } from './backup-job.ts'

/** What backups are made, kept and deleted with. */
export interface BackupParts {
  readonly deps: DomainDeps
  readonly client: BackupCalls
  readonly operations: OperationManager
  readonly locks: KeyedLock
  readonly catalog: BackupCatalog
  readonly volumes: Pick<VolumeManager, 'delete'>
  readonly log: Logger
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}
