import type { EventDraft, NodeEventType } from '../core/events.ts'
import type { DomainFacts } from './domain-info.ts'

/** What came to a domain, or went from it, between two readings of its definition: disks and NICs, by whomever they were changed. */
export function deviceEvents(before: DomainFacts, after: DomainFacts): EventDraft[] {
  const { vmId, name } = after
  const draft = (type: NodeEventType, kind: string, id: string): EventDraft => ({
    type,
    vmId,
    message: `VM ${name}: ${kind} ${id} was ${type.endsWith('_ATTACHED') ? 'attached' : 'taken out'}`,
    metadata: { name, [kind.toLowerCase()]: id },
  })
  const disks = difference(before.disks, after.disks, (disk) => `${disk.id}\0${disk.targetDev}`)
  const nics = difference(before.nics, after.nics, (nic) => nic.macAddress)
  return [
    ...disks.gone.map(({ id }) => draft('DISK_DETACHED', 'disk', id)),
    ...disks.come.map(({ id }) => draft('DISK_ATTACHED', 'disk', id)),
    ...nics.gone.map(({ id }) => draft('NIC_DETACHED', 'NIC', id)),
    ...nics.come.map(({ id }) => draft('NIC_ATTACHED', 'NIC', id)),
  ]
}

function difference<T>(before: readonly T[], after: readonly T[], key: (item: T) => string) {
  const [old, now] = [new Set(before.map(key)), new Set(after.map(key))]
  return {
    gone: before.filter((item) => !now.has(key(item))),
    come: after.filter((item) => !old.has(key(item))),
  }
}
