import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { DomainInventory } from '../../../src/domains/inventory.ts'
import { domainPoolUsers } from '../../../src/domains/pool-users.ts'
import type { LibvirtClient, ResyncHandler } from '../../../src/libvirt/client.ts'
import { VIR_DOMAIN_EVENT, VIR_DOMAIN_PAUSED, VIR_DOMAIN_STATE, VIR_ERR } from '../../../src/libvirt/constants.ts'
import { LibvirtError, LibvirtGone, LibvirtTimeout } from '../../../src/libvirt/errors.ts'
import { uuidBytes, uuidText } from '../../../src/libvirt/uuid.ts'
import type { ActivePool } from '../../../src/storage/pool-access.ts'

const A = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10'
const B = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b11'

interface FakeDomain {
  name: string
  state: number
  reason: number
  /** What reading its definition gives. */
  xml: () => Promise<string>
}

// Only what comes in an order, or goes wrong in a way, that no daemon can be asked for; the rest is tested on real ones (test/host/domains).
class FakeLibvirt {
  readonly domains = new Map<string, FakeDomain>()
  readonly state = { phase: 'connected' }
  beforeListAnswer: () => Promise<void> = () => Promise.resolve()
  resync: ResyncHandler = () => Promise.resolve()
  lifecycle: (vmId: string, event: number) => void = () => undefined

  add(vmId: string, name: string, part: Partial<FakeDomain> = {}): void {
    const xml = `<domain><name>${name}</name><uuid>${vmId}</uuid></domain>`
    this.domains.set(vmId, {
      name,
      state: VIR_DOMAIN_STATE.RUNNING,
      reason: 0,
      xml: () => Promise.resolve(xml),
      ...part,
    })
  }

  onResync(handler: ResyncHandler) {
    this.resync = handler
    return () => undefined
  }

  onState() {
    return () => undefined
  }

  subscribe(event: string, listener: (payload: unknown) => void) {
    if (event === 'domain:LIFECYCLE')
      this.lifecycle = (vmId, what) => listener({ dom: { uuid: uuidBytes(vmId) }, event: what, detail: 0 })
    return Promise.resolve(() => Promise.resolve())
  }

  async call(name: string, args: { dom?: { uuid: Uint8Array }; uuid?: Uint8Array }) {
    if (name === 'remote:CONNECT_LIST_ALL_DOMAINS') {
      const domains = [...this.domains].map(([vmId, { name }]) => ({ name, uuid: uuidBytes(vmId), id: -1 }))
      await this.beforeListAnswer()
      return { domains }
    }
    const vmId = uuidText(args.dom?.uuid ?? args.uuid ?? new Uint8Array(16))
    const domain = this.domains.get(vmId)
    if (domain === undefined) throw noDomain(name)
    if (name === 'remote:DOMAIN_GET_STATE') return { state: domain.state, reason: domain.reason }
    if (name === 'remote:DOMAIN_GET_XML_DESC') return { xml: await domain.xml() }
    return { dom: { name: domain.name, uuid: uuidBytes(vmId), id: -1 } }
  }
}

function noDomain(procedure: string): LibvirtError {
  const none = { dom: null, net: null, str1: null, str2: null, str3: null, int1: 0, int2: 0 }
  return new LibvirtError(procedure, { code: VIR_ERR.NO_DOMAIN, domain: 10, level: 2, message: 'no domain', ...none })
}

async function started(libvirt: FakeLibvirt): Promise<DomainInventory> {
  const inventory = new DomainInventory(libvirt as unknown as LibvirtClient, silentLogger)
  await inventory.start()
  inventory.stop()
  return inventory
}

const signal = AbortSignal.timeout(60_000)
const states = (inventory: DomainInventory) =>
  Object.fromEntries(inventory.entries().map(({ facts, state }) => [facts.name, state]))

describe('a domain that cannot be read does not hide the others', () => {
  test.each<[string, () => Promise<string>, string]>([
    [
      'its definition is not understood',
      () => Promise.resolve('<domain><![CDATA[<!DOCTYPE html>]]></domain>'),
      'RUNNING',
    ],
    ['libvirt does not answer', () => Promise.reject(new LibvirtTimeout('x', 15_000, true)), 'UNKNOWN'],
  ])('%s', async (_, xml, state) => {
    const libvirt = new FakeLibvirt()
    libvirt.add(A, 'odd', { xml })
    libvirt.add(B, 'good')
    const inventory = await started(libvirt)
    expect(states(inventory)).toEqual({ odd: state, good: 'RUNNING' })
    // A pool is not destroyed on the word of a domain that cannot be asked.
    const pool = { backend: { mountPath: '/pool' } } as unknown as ActivePool
    const users = await domainPoolUsers(inventory)(pool, { signal, log: silentLogger })
    expect(users).toEqual([{ name: `VM odd (${A}), whose definition cannot be read`, owner: `vm:${A}` }])
  })

  test('at a reconnect what was known of it stays, but not its state, and nothing is told twice', async () => {
    const libvirt = new FakeLibvirt()
    libvirt.add(A, 'web')
    const inventory = await started(libvirt)
    const good = libvirt.domains.get(A)!.xml
    libvirt.domains.get(A)!.xml = () => Promise.reject(new LibvirtTimeout('x', 15_000, true))
    const over = new AbortController()
    const events = inventory.events(over.signal)[Symbol.asyncIterator]()
    await libvirt.resync(signal)
    expect(inventory.entries()).toMatchObject([{ facts: { name: 'web' }, state: 'UNKNOWN', readable: false }])
    libvirt.domains.get(A)!.xml = good
    await libvirt.resync(signal)
    expect(inventory.entries()).toMatchObject([{ state: 'RUNNING', readable: true }])
    over.abort()
    expect((await events.next()).done).toBe(true)
  })

  test('a connection that breaks is no trouble of one domain', async () => {
    const libvirt = new FakeLibvirt()
    libvirt.add(A, 'web')
    const inventory = await started(libvirt)
    libvirt.domains.get(A)!.xml = () => Promise.reject(new LibvirtGone('x', false, 'gone'))
    await expect(libvirt.resync(signal)).rejects.toMatchObject({ reason: 'LIBVIRT_UNAVAILABLE' })
    expect(states(inventory)).toEqual({ web: 'RUNNING' })
  })
})

test('a VM that is being started is not paused, whenever it is looked at', async () => {
  const libvirt = new FakeLibvirt()
  libvirt.add(A, 'web', { state: VIR_DOMAIN_STATE.SHUTOFF })
  const inventory = await started(libvirt)
  libvirt.add(A, 'web', { state: VIR_DOMAIN_STATE.PAUSED, reason: VIR_DOMAIN_PAUSED.STARTING_UP })
  await inventory.refresh(A)
  expect(states(inventory)).toEqual({ web: 'STOPPED' })
  libvirt.add(A, 'web')
  libvirt.lifecycle(A, VIR_DOMAIN_EVENT.STARTED)
  expect(states(inventory)).toEqual({ web: 'RUNNING' })
})

test('a VM that is on its way here counts as one of the other host until it has arrived', async () => {
  const libvirt = new FakeLibvirt()
  libvirt.add(A, 'web')
  const inventory = await started(libvirt)
  const settle = inventory.arriving(A)
  expect(inventory.entriesHere()).toEqual([])
  expect(await inventory.metrics(signal)).toEqual([])
  await settle(true)
  expect(inventory.entriesHere()).toMatchObject([{ state: 'RUNNING' }])
  expect(await inventory.metrics(signal)).toMatchObject([{ vmId: A, name: 'web' }])
})

describe('a list that is older than what is known', () => {
  test('does not take away a domain that was defined meanwhile', async () => {
    const libvirt = new FakeLibvirt()
    const inventory = await started(libvirt)
    const known = new Promise<void>((resolve) => inventory.onChange(() => inventory.entries().length > 0 && resolve()))
    libvirt.beforeListAnswer = async () => {
      libvirt.add(A, 'new')
      libvirt.lifecycle(A, VIR_DOMAIN_EVENT.DEFINED)
      await known
    }
    await libvirt.resync(signal)
    expect(states(inventory)).toEqual({ new: 'RUNNING' })
  })

  test('one that libvirt no longer knows goes', async () => {
    const libvirt = new FakeLibvirt()
    libvirt.add(A, 'old')
    const inventory = await started(libvirt)
    libvirt.domains.delete(A)
    await libvirt.resync(signal)
    expect(inventory.entries()).toEqual([])
  })
})
