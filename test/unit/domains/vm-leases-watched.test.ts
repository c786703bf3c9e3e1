import { beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { VmLeases } from '../../../src/domains/vm-leases.ts'
import type { DiskWriter, GuestLease, GuestLeaseFacts, LeasePlace } from '../../../src/storage/guest-lease.ts'
import { GuestLeases } from '../../../src/storage/guest-leases.ts'
import type { ActivePool } from '../../../src/storage/pool-access.ts'

// Storage that refuses no second writer: all depends on when the agent looks.
let lease: GuestLease | undefined
let log: string[]
/** What each look sees, in turn; nobody after that. */
let looks: (DiskWriter | undefined)[]
let meanwhile: () => void

const place: LeasePlace = {
  refusesSecondWriter: false,
  read: () => {
    log.push('read')
    return Promise.resolve(lease)
  },
  take: (_guest, before, facts) => {
    log.push(`take ${facts.phase}`)
    if (before?.token !== lease?.token) return Promise.resolve(undefined)
    lease = { token: `${Number(lease?.token ?? 0) + 1}`, facts }
    return Promise.resolve(lease)
  },
  write: (guest, before, facts, ctx) => place.take(guest, before, facts, ctx),
  release: (_guest, { token }) => {
    log.push('release')
    if (lease?.token === token) lease = undefined
    return Promise.resolve()
  },
  findWriter: () => {
    log.push('look')
    meanwhile()
    return Promise.resolve(looks.shift())
  },
  blindSpot: () => Promise.resolve(undefined),
}
const facts = (holder: string, phase: GuestLeaseFacts['phase']): GuestLeaseFacts => {
  return { holder, host: holder, since: '2026-01-01T00:00:00.000Z', phase }
}
const writer = { disk: 'root', who: '10.0.0.7 (Ceph client 7)' }
const vm = { vmId: 'vm-1', disks: [{ id: 'root', place: 'rbd:p/i', format: 'raw', readonly: false }] }
const ctx = { signal: new AbortController().signal, log: silentLogger }
const elsewhere = { reason: 'VM_RUNS_ELSEWHERE' }

function leasesOf(isInUse = true): VmLeases {
  const config = { poolId: 'p', kind: 'CEPH_RBD', options: {} } as const
  const backend = { config, traits: { shared: true }, leases: place, mountPath: '' } as unknown as ActivePool['backend']
  const pools = { findByPlace: () => (isInUse ? { config, backend } : undefined), holderOf: () => backend }
  const unused = {} as never
  const rest = { inventory: unused, libvirt: unused, locks: unused, log: silentLogger }
  return new VmLeases({ pools, leases: new GuestLeases(unused), agentId: 'a', host: 'a', lingerMs: 0, ...rest })
}

beforeEach(() => {
  lease = undefined
  log = []
  looks = []
  meanwhile = () => undefined
})

test('writers are looked for before the lease is taken and after it, whoever had it', async () => {
  for (const before of [undefined, facts('a', 'running'), facts('a', 'claimed'), facts('b', 'running')]) {
    lease = before === undefined ? undefined : { token: '5', facts: before }
    log = []
    await leasesOf().claim(vm, { takeOver: false }, ctx)
    expect(log, JSON.stringify(before)).toEqual(['read', 'look', 'take claimed', 'look'])
    expect(lease).toMatchObject({ facts: { holder: 'a', phase: 'claimed' } })
  }
})

test('a writer is in the way whatever the lease says, also of who takes over', async () => {
  for (const before of [undefined, facts('a', 'running'), facts('b', 'running'), facts('b', 'claimed')]) {
    for (const takeOver of [false, true]) {
      const present = before === undefined ? undefined : { token: '5', facts: before }
      lease = present
      looks = [writer]
      const claim = leasesOf().claim(vm, { takeOver }, ctx)
      await expect(claim).rejects.toMatchObject({ ...elsewhere, message: expect.stringContaining(writer.who) })
      expect(lease).toEqual(present)
    }
  }
})

test('one who comes between the look and the lease is seen after it, and the lease is given back', async () => {
  looks = [undefined, writer]
  await expect(leasesOf().claim(vm, { takeOver: false }, ctx)).rejects.toMatchObject(elsewhere)
  expect(log.slice(-2)).toEqual(['look', 'release'])
  expect(lease).toBeUndefined()
})

test('a lease that changes during the look is looked at anew: who is about to start is not passed over', async () => {
  lease = { token: '5', facts: facts('b', 'running') }
  meanwhile = () => {
    lease = { token: '6', facts: facts('b', 'claimed') }
  }
  await expect(leasesOf().claim(vm, { takeOver: false }, ctx)).rejects.toMatchObject(elsewhere)
  expect(lease).toMatchObject({ token: '6', facts: { holder: 'b' } })
})

test('a guest that runs here is not taken for a stranger', async () => {
  looks = [writer]
  await leasesOf().claim(vm, { takeOver: false, runsHere: true }, ctx)
  expect(log).toEqual(['read', 'take running'])
})

test('nothing is started while its pool is not in use: nobody would know', async () => {
  await expect(leasesOf(false).claim(vm, { takeOver: false }, ctx)).rejects.toMatchObject({
    reason: 'POOL_UNAVAILABLE',
  })
})
