import type { Logger } from '../../core/context.ts'
import type { OperationManager } from '../../operations/manager.ts'
import type { DomainInventory } from '../inventory.ts'
import type { MigrationParts } from './build-offer.ts'

/** What the target's side of migrations needs. */
export interface IncomingOptions {
  readonly parts: MigrationParts
  readonly operations: OperationManager
  readonly inventory: Pick<DomainInventory, 'arriving'>
  /** Where QEMU listens: an address of this host that other hosts reach. */
  readonly address: (signal: AbortSignal) => Promise<string>
  /** Take VMs that nobody announced by PrepareMigration and ReceiveMigration. */
  readonly acceptUnannounced: boolean
  readonly log: Logger
  /** Without a sign of the source for so long, an incoming migration is given up; default 60 s. */
  readonly lostMs?: number
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}
