import type { NodeEventType } from '../core/events.ts'
import type { EventSink } from '../events/event-log.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { DomainInventory } from './inventory.ts'
import { SNAPSHOT_KINDS } from './snapshot-operations.ts'

const TYPES: Readonly<Record<string, readonly [type: NodeEventType, text: string]>> = {
  [SNAPSHOT_KINDS.create]: ['SNAPSHOT_CREATED', 'was taken'],
  [SNAPSHOT_KINDS.revert]: ['SNAPSHOT_REVERTED', 'was gone back to'],
  [SNAPSHOT_KINDS.delete]: ['SNAPSHOT_DELETED', 'was deleted'],
}

/** Tells of snapshots when their operations have completed; libvirt has no events of its own for them. */
export function tellSnapshots(
  operations: Pick<OperationManager, 'watchAll'>,
  domains: Pick<DomainInventory, 'nameOf'>,
  events: EventSink,
): void {
  operations.watchAll(({ kind, state, params }) => {
    const [type, text] = TYPES[kind] ?? []
    if (type === undefined || state !== 'completed') return
    const { vmId, name: snapshot } = params as { vmId: string; name: string }
    const name = domains.nameOf(vmId)
    const message = `VM ${name === '' ? vmId : name}: snapshot ${snapshot} ${text}`
    events.publish({ type, vmId, message, metadata: { snapshot, ...(name === '' ? {} : { name }) } })
  })
}
