import { beforeEach, expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import type { DomainInventory } from '../../../src/domains/inventory.ts'
import { DomainPower } from '../../../src/domains/power.ts'
import type { SplitMark } from '../../../src/domains/vm-split.ts'
import { VmSplits } from '../../../src/domains/vm-splits.ts'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_STATE } from '../../../src/libvirt/constants.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { tempDirectory } from '../storage/fixture.ts'
import { context, fakeCalls, noDomain } from './migration/fake-calls.ts'

const VM = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'
const OTHER = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f002'
const MARK: SplitMark = { name: 'web', target: 'https://host-b:8443', since: '2026-01-02T03:04:05.000Z' }
const OFF = { state: VIR_DOMAIN_STATE.SHUTOFF, reason: VIR_DOMAIN_SHUTOFF.CRASHED }
const BROKEN = { state: VIR_DOMAIN_STATE.PAUSED, reason: VIR_DOMAIN_PAUSED.POSTCOPY_FAILED }
const SPLIT = { reason: 'MIGRATION_SPLIT' }

let directory = ''
let isThere = true
let state: { state: number; reason: number } = OFF
let started = 0
beforeEach(async () => {
  directory = await tempDirectory()
  isThere = true
  state = OFF
  started = 0
})

const { client } = fakeCalls({
  DOMAIN_LOOKUP_BY_UUID: () => (isThere ? { dom: {} } : noDomain()),
  DOMAIN_GET_STATE: () => state,
  DOMAIN_CREATE_WITH_FLAGS: () => {
    started++
    return {}
  },
})
const { signal } = context()

/** As an agent opens them that has just started. */
function opened() {
  const store = openStateStore(directory, silentLogger).collection<SplitMark>('split-vms')
  return { store, splits: new VmSplits({ store, libvirt: client, log: silentLogger }) }
}

test('a mark outlives the agent, is for one VM, and says where its guest is and what to do', async () => {
  await opened().splits.mark(VM, MARK)
  const { splits } = opened()
  await expect(splits.refuse(VM, signal)).rejects.toMatchObject({
    ...SPLIT,
    message: expect.stringMatching(/"web".*https:\/\/host-b:8443.*2026-01-02.*virsh undefine.*takeOver/),
  })
  await splits.refuse(OTHER, signal)
  // A migration that is taken up from its journal says it again.
  await splits.mark(VM, { ...MARK, since: '2027-01-01T00:00:00.000Z' })
  expect(await opened().store.entries()).toEqual([[VM, MARK]])
})

test('a mark goes with its domain, and is not on another one of that id', async () => {
  const { splits } = opened()
  await splits.mark(VM, MARK)
  isThere = false
  expect(await splits.settle(VM, signal)).toBeUndefined()
  isThere = true
  await splits.refuse(VM, signal)
  expect(await opened().store.entries()).toEqual([])
})

test('a domain that goes, also while the agent is away, takes its mark along by itself', async () => {
  for (const vmId of [VM, OTHER]) await opened().splits.mark(vmId, MARK)
  const { store, splits } = opened()
  let tell: (vmId: string) => void = () => undefined
  const inventory = {
    onChange: (listener: typeof tell) => {
      tell = listener
      return () => undefined
    },
    listedOnce: () => Promise.resolve(),
  }
  const start = (from: VmSplits) => from.start({ inventory, locks: new KeyedLock() })
  start(splits)
  tell(VM)
  isThere = false
  tell(VM)
  await vi.waitFor(async () => expect(await store.get(VM)).toBeUndefined())
  start(opened().splits)
  await vi.waitFor(async () => expect(await store.entries()).toEqual([]))
})

function powerWith(splits: VmSplits) {
  const facts = { vmId: VM, disks: [] }
  const inventory = { entry: () => Promise.resolve({ facts }), entries: () => [] }
  return new DomainPower(
    client as unknown as LibvirtClient,
    inventory as unknown as DomainInventory,
    new KeyedLock(),
    silentLogger,
    undefined,
    undefined,
    splits,
  )
}

test('what was left here is started only when somebody insists, and is a VM like any other then', async () => {
  const { splits } = opened()
  await splits.mark(VM, MARK)
  const power = powerWith(splits)
  await expect(power.start(VM, signal)).rejects.toMatchObject(SPLIT)
  state = BROKEN
  for (const work of [
    () => power.start(VM, signal, true),
    () => power.resume(VM, signal),
    () => power.save(VM, signal),
  ])
    await expect(work()).rejects.toMatchObject(SPLIT)
  await expect(power.reset(VM, signal)).rejects.toMatchObject(SPLIT)
  expect(started).toBe(0)
  state = OFF
  await power.start(VM, signal, true)
  expect(started).toBe(1)
  expect(await opened().store.entries()).toEqual([])
  await power.start(VM, signal)
})

test('one that an admin has started by other means is free once somebody insists', async () => {
  const { splits } = opened()
  await splits.mark(VM, MARK)
  state = { state: VIR_DOMAIN_STATE.RUNNING, reason: 1 }
  await expect(powerWith(splits).start(VM, signal)).rejects.toMatchObject(SPLIT)
  await powerWith(splits).start(VM, signal, true)
  await splits.refuse(VM, signal)
})
