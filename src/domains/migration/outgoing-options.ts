import type { Logger } from '../../core/context.ts'
import type { OperationManager } from '../../operations/manager.ts'
import type { DomainInventory } from '../inventory.ts'
import type { MigrationParts } from './build-offer.ts'
import type { MigrationTarget } from './messages.ts'

/** What the source's side of migrations needs. */
export interface OutgoingOptions {
  readonly parts: MigrationParts
  readonly operations: OperationManager
  readonly inventory: Pick<DomainInventory, 'settle' | 'nameOf' | 'movedAway'>
  /** The agent at an address. */
  readonly connect: (target: string) => MigrationTarget
  /** Encrypt the connections between the QEMUs, with the certificates that libvirt is configured with. */
  readonly tls: boolean
  readonly log: Logger
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}
