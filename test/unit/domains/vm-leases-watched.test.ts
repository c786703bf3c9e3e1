import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import type { PowerState } from '../../../src/core/model.ts'
import type { DomainEntry } from '../../../src/domains/domain-entry.ts'
import type { DomainInventory } from '../../../src/domains/inventory.ts'
import type { LibvirtCalls } from '../../../src/domains/libvirt-domain.ts'
import { vmLock } from '../../../src/domains/power.ts'
import { VmLeases, type VmLeasesOptions } from '../../../src/domains/vm-leases.ts'
import { withLease } from '../../../src/domains/with-lease.ts'
import { VIR_DOMAIN_PAUSED, VIR_DOMAIN_STATE } from '../../../src/libvirt/constants.ts'
import type { DiskWriter, GuestLease, GuestLeaseFacts, LeasePlace } from '../../../src/storage/guest-lease.ts'
import { GuestLeases } from '../../../src/storage/guest-leases.ts'
import type { ActivePool } from '../../../src/storage/pool-access.ts'
import { until } from '../../support/until.ts'

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
const vm = {
  vmId: '6f1c2b8e-0000-4000-8000-000000000001',
  disks: [{ id: 'root', place: 'rbd:p/i', format: 'raw', readonly: false }],
}
const ctx = { signal: new AbortController().signal, log: silentLogger }
const elsewhere = { reason: 'VM_RUNS_ELSEWHERE' }

type Surroundings = Partial<Pick<VmLeasesOptions, 'inventory' | 'libvirt' | 'locks' | 'pools'>>

function leasesOf(isInUse = true, around: Surroundings = {}): VmLeases {
  const config = { poolId: 'p', kind: 'CEPH_RBD', options: {} } as const
  const backend = { config, traits: { shared: true }, leases: place, mountPath: '' } as unknown as ActivePool['backend']
  const pools = { findByPlace: () => (isInUse ? { config, backend } : undefined), holderOf: () => backend }
  const unused = {} as never
  const rest = { inventory: unused, libvirt: unused, locks: unused, log: silentLogger, ...around }
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

test('two pools of one name whose clusters cannot be told apart are in the way of a start', async () => {
  const config = { poolId: 'p', kind: 'CEPH_RBD', options: {} } as const
  const backend = { config, traits: { shared: true }, leases: place, mountPath: '' } as unknown as ActivePool['backend']
  const pools = {
    findByPlace: (_place: string, monitors?: readonly string[]) =>
      monitors === undefined ? { config, backend } : undefined,
    holderOf: () => backend,
  }
  const disks = vm.disks.map((disk) => ({ ...disk, monitors: ['10.9.9.9:6789'] }))
  const claim = leasesOf(true, { pools }).claim({ ...vm, disks }, { takeOver: false }, ctx)
  await expect(claim).rejects.toMatchObject({
    reason: 'POOL_UNAVAILABLE',
    message: expect.stringContaining('10.9.9.9:6789'),
  })
})

function libvirtSays(state: number, reason = 0): LibvirtCalls {
  const answers: Readonly<Record<string, unknown>> = {
    'remote:DOMAIN_GET_STATE': { state, reason },
    'remote:DOMAIN_LOOKUP_BY_UUID': { dom: {} },
    'remote:DOMAIN_HAS_MANAGED_SAVE_IMAGE': { result: 0 },
  }
  const call = (procedure: string) => Promise.resolve(answers[procedure])
  return { call } as unknown as LibvirtCalls
}

test('work on a VM that runs here does not wait for its own QEMU, and others do not take the lease while that may end', async () => {
  looks = [writer]
  const libvirt = libvirtSays(VIR_DOMAIN_STATE.RUNNING)
  const deps = { leases: leasesOf(), libvirt }
  const during = await withLease(vm, deps, () => Promise.resolve(lease), ctx)
  expect(during).toMatchObject({ facts: { holder: 'a', phase: 'claimed' } })
  expect(log).toEqual(['read', 'take claimed'])
})

test('work on a VM that is off, or whose state cannot be told, waits for whoever writes', async () => {
  for (const state of [VIR_DOMAIN_STATE.SHUTOFF, VIR_DOMAIN_STATE.NOSTATE]) {
    looks = [writer]
    const deps = { leases: leasesOf(), libvirt: libvirtSays(state) }
    await expect(withLease(vm, deps, () => Promise.resolve(), ctx)).rejects.toMatchObject(elsewhere)
  }
})

/** A host with the VM on it, whose changes `changed` tells; `isHere`: not on its way any more. */
function host(state: PowerState, isHere: boolean, libvirt = libvirtSays(VIR_DOMAIN_STATE.RUNNING)) {
  const entry = { facts: vm, state } as unknown as DomainEntry
  const world = { isHere, changed: (_vmId: string): void => undefined }
  const inventory = {
    entries: () => [entry],
    entriesHere: () => (world.isHere ? [entry] : []),
    listedOnce: () => Promise.resolve(),
    onChange: (listener: (vmId: string) => void) => {
      world.changed = listener
      return () => undefined
    },
  } as unknown as DomainInventory
  const locks = new KeyedLock()
  const leases = leasesOf(true, { inventory, libvirt, locks })
  leases.start()
  onTestFinished(() => leases.stop())
  return { world, locks }
}

test('a VM that arrives after a long time gets its lease at once', async () => {
  const over = new AbortController()
  const deadline = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(over.signal)
  onTestFinished(() => deadline.mockRestore())
  const { world, locks } = host('PAUSED', false)
  const arrived = await locks.acquire(vmLock(vm.vmId), ctx.signal)
  world.changed(vm.vmId)
  // Whoever waits for the lock gives up.
  over.abort(new Error('too late'))
  await new Promise(setImmediate)
  deadline.mockRestore()
  world.isHere = true
  world.changed(vm.vmId)
  arrived()
  // Comes after who waits for the lock by now.
  await locks.run(vmLock(vm.vmId), ctx.signal, () => Promise.resolve())
  expect(log).toEqual(['read', 'take running'])
})

test('what a broken migration left behind takes no lease, also when nobody has it', async () => {
  const broken = libvirtSays(VIR_DOMAIN_STATE.PAUSED, VIR_DOMAIN_PAUSED.POSTCOPY_FAILED)
  const { world, locks } = host('PAUSED', true, broken)
  world.changed(vm.vmId)
  await until(async () => log.length > 0)
  await locks.run(vmLock(vm.vmId), ctx.signal, () => Promise.resolve())
  expect(log).toEqual(['read'])
})
