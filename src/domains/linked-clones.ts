import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { PoolOverlays } from '../storage/pool-overlays.ts'
import { devicePlace } from './device-place.ts'
import type { DomainInventory } from './inventory.ts'
import type { DomainFacts } from './domain-info.ts'
import { vmOwner } from './names.ts'

/**
 * VOLUME_IN_USE when disks of other VMs stand on a disk that this one would write to: they would be worth nothing after its first write. Known of the VMs of this host, and (`overlays`) of the volumes in the same shared pool,
 * whichever host has made them. Errors: LIBVIRT_UNAVAILABLE, POOL_*, DEADLINE_EXCEEDED when it cannot be told.
 */
export async function refuseUnderClones(
  { vmId, disks }: Pick<DomainFacts, 'vmId' | 'disks'>,
  domains: Pick<DomainInventory, 'entries'>,
  overlays: Pick<PoolOverlays, 'ofOthers'> | undefined,
  ctx: OpContext,
): Promise<void> {
  const writable = disks.filter(({ readonly }) => !readonly)
  const written = await Promise.all(writable.map(({ place }) => devicePlace(place)))
  const names: string[] = []
  for (const { facts } of domains.entries()) {
    if (facts.vmId === vmId) continue
    const tops = await Promise.all(facts.disks.map(({ place }) => devicePlace(place)))
    const all = await Promise.all(facts.paths.map(devicePlace))
    if (all.some((place) => written.includes(place) && !tops.includes(place)))
      names.push(`${facts.name} (${facts.vmId})`)
  }
  if (names.length === 0 && overlays !== undefined) {
    for (const { place } of writable) names.push(...(await overlays.ofOthers(place, vmOwner(vmId), ctx)))
  }
  if (names.length === 0) return
  throw new AgentError(
    'VOLUME_IN_USE',
    `VM ${vmId} cannot write to its disks: those of ${names.join(', ')} stand on them and would be lost with the first write; clone it in full instead, or delete those first`,
  )
}
