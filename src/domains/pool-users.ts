import type { PoolUserSource } from '../storage/pool-access.ts'
import { devicePlace } from './device-place.ts'
import type { Domains } from './deps.ts'
import type { DomainEntry } from './domain-entry.ts'
import { isOff } from './libvirt-domain.ts'
import { vmOwner } from './names.ts'

/** Names the domains, running or not, ours or foreign, whose disks, backing images or ISOs are in a pool. Throws LIBVIRT_UNAVAILABLE when it cannot be told. */
export function domainPoolUsers(domains: Domains): PoolUserSource {
  return async ({ backend }) => {
    const lists = domains.entries().map(async ({ facts, readable, state }) => {
      const vm = vmText(facts)
      const owner = vmOwner(facts.vmId)
      // Who cannot be asked counts as a user.
      if (!readable) return [{ name: `${vm}, whose definition cannot be read`, owner }]
      const places = (await Promise.all(facts.paths.map(devicePlace))).filter((place) => backend.holds(place))
      const written = isOff(state) ? [] : await writtenPlaces(facts)
      const access = (place: string) => (isOff(state) ? 'idle' : written.includes(place) ? 'writes' : 'reads')
      return places.map((path) => ({ name: vm, owner, path, access: access(path) }) as const)
    })
    return (await Promise.all(lists)).flat()
  }
}

/** Names of the VMs that run and may write to what is at `place` (placeOf). Throws LIBVIRT_UNAVAILABLE when it cannot be told. */
export async function writersOf(place: string, domains: Domains): Promise<string[]> {
  const names = domains.entries().map(async ({ facts, state }) => {
    if (isOff(state)) return []
    return (await writtenPlaces(facts)).includes(place) ? [vmText(facts)] : []
  })
  return (await Promise.all(names)).flat()
}

/** Names of the VMs beside `vmId`, running or not, that have what is at `place` (placeOf), or stand on it. Throws LIBVIRT_UNAVAILABLE when it cannot be told. */
export async function otherHolders(place: string, vmId: string, domains: Domains): Promise<string[]> {
  const wanted = await devicePlace(place)
  const names = domains.entries().map(async ({ facts }) => {
    if (facts.vmId === vmId) return []
    return (await Promise.all(facts.paths.map(devicePlace))).includes(wanted) ? [vmText(facts)] : []
  })
  return (await Promise.all(names)).flat()
}

async function writtenPlaces({ disks }: DomainEntry['facts']): Promise<string[]> {
  const written = disks.filter(({ readonly }) => !readonly)
  return Promise.all(written.map((disk) => devicePlace(disk.place)))
}

function vmText({ name, vmId }: DomainEntry['facts']): string {
  return `VM ${name} (${vmId})`
}
