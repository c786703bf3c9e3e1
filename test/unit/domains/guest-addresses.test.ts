import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { PowerState } from '../../../src/core/model.ts'
import { unreadableFacts, type DomainEntry } from '../../../src/domains/domain-entry.ts'
import { GuestAddresses } from '../../../src/domains/guest-addresses.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import { LibvirtError } from '../../../src/libvirt/errors.ts'
import { uuidBytes, uuidText } from '../../../src/libvirt/uuid.ts'

const ONE = '11111111-1111-4111-8111-111111111111'
const TWO = '22222222-2222-4222-8222-222222222222'

/** What the agents of guests say, by VM: addresses, or an error; asked without an answer while it is a promise. */
let claims: Map<string, readonly string[] | Error | Promise<readonly string[]>>
let states: Map<string, PowerState>
let starts: Map<string, number>
let asked: string[]
let follow: (vmId: string) => void
let connected: (vmId: string) => void
let addresses: GuestAddresses
let changes: number

beforeEach(() => {
  vi.useFakeTimers()
  claims = new Map()
  states = new Map([[ONE, 'RUNNING']])
  starts = new Map()
  asked = []
  changes = 0
  addresses = new GuestAddresses({
    client: {
      call: (async (_name: string, { dom }: { dom: { uuid: Uint8Array } }) => {
        const vmId = uuidText(dom.uuid)
        asked.push(vmId)
        const claim = await (claims.get(vmId) ?? [])
        if (claim instanceof Error) throw claim
        const said = claim.map((ip) => ({ 'ip-address': ip, 'ip-address-type': ip.includes(':') ? 'ipv6' : 'ipv4' }))
        return { result: JSON.stringify({ return: [{ name: 'eth0', 'ip-addresses': said }] }) }
      }) as never,
      subscribe: (_event, listener) => {
        connected = (vmId) => listener({ dom: { uuid: uuidBytes(vmId) }, state: 1 } as never)
        return Promise.resolve(() => Promise.resolve())
      },
    },
    inventory: {
      entriesHere: () => [...states].map(([vmId, state]) => entry(vmId, state)),
      onChange: (listener) => {
        follow = listener
        return () => undefined
      },
      listedOnce: () => Promise.resolve(),
    },
    log: silentLogger,
  })
  addresses.onChange(() => changes++)
  addresses.start()
})
afterEach(() => {
  addresses.stop()
  vi.useRealTimers()
})

function entry(vmId: string, state: PowerState): DomainEntry {
  const times = { startedAt: starts.get(vmId), observedAt: 0 }
  return { facts: unreadableFacts(vmId, 'vm'), readable: true, state, toldState: state, ...times }
}

function silent(message: string): LibvirtError {
  return failure(VIR_ERR.AGENT_UNRESPONSIVE, message)
}

function failure(code: number, message: string): LibvirtError {
  const fields = { code, domain: 10, level: 2, message }
  const nothing = { str1: null, str2: null, str3: null, int1: 0, int2: 0 }
  return new LibvirtError('qemu:DOMAIN_AGENT_COMMAND', { ...fields, ...nothing })
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const become = (vmId: string, state: PowerState) => {
  states.set(vmId, state)
  follow(vmId)
}

test('a guest that has just come up is asked until it has an address, then once a minute', async () => {
  expect(addresses.of(ONE)).toBeUndefined()
  await pass(0)
  expect(addresses.of(ONE)).toEqual([])
  claims.set(ONE, [
    '127.0.0.1',
    '::1',
    'fe80::1',
    '169.254.7.7',
    '0.0.0.0',
    '::',
    '192.0.2.7',
    '2001:db8::7',
    '192.0.2.7',
  ])
  await pass(5_000)
  expect(addresses.of(ONE)).toEqual(['192.0.2.7', '2001:db8::7'])
  expect(asked).toHaveLength(2)
  claims.set(ONE, ['2001:db8::7', '192.0.2.7'])
  await pass(60_000)
  expect(asked).toHaveLength(3)
  // That it names them in another order is no change.
  expect(changes).toBe(2)
})

test('an agent that is silent takes no address away, and is left alone for a while', async () => {
  claims.set(ONE, ['192.0.2.7'])
  await pass(0)
  claims.set(ONE, silent('Guest agent is not responding: timed out'))
  await pass(60_000)
  expect(addresses.of(ONE)).toEqual(['192.0.2.7'])
  await pass(299_000)
  expect(asked).toHaveLength(2)
  claims.set(ONE, ['192.0.2.8'])
  await pass(1_000)
  expect(addresses.of(ONE)).toEqual(['192.0.2.8'])
})

test('of one that is silent or paused at the first question nothing is known', async () => {
  claims.set(ONE, silent('Guest agent is not responding: timed out'))
  states.set(TWO, 'RUNNING')
  claims.set(TWO, failure(VIR_ERR.OPERATION_INVALID, 'domain is not running'))
  follow(TWO)
  await pass(0)
  expect(asked).toEqual([ONE, TWO])
  expect(addresses.of(ONE)).toBeUndefined()
  expect(addresses.of(TWO)).toBeUndefined()
  expect(changes).toBe(0)
  claims.set(TWO, ['192.0.2.2'])
  await pass(60_000)
  expect(addresses.of(TWO)).toEqual(['192.0.2.2'])
})

test('one that went, or began anew, while libvirt was away is forgotten before the next question', async () => {
  claims.set(ONE, ['192.0.2.1'])
  claims.set(TWO, ['192.0.2.2'])
  starts.set(TWO, 1_000)
  become(TWO, 'RUNNING')
  await pass(0)
  states.delete(ONE)
  starts.set(TWO, 2_000)
  claims.set(TWO, silent('Guest agent is not responding: timed out'))
  await pass(60_000)
  expect(addresses.of(ONE)).toBeUndefined()
  expect(addresses.of(TWO)).toBeUndefined()
  await pass(600_000)
  expect(asked.filter((vmId) => vmId === ONE)).toHaveLength(1)
})

test('a guest without an agent has none, until libvirt tells that its agent is there', async () => {
  claims.set(ONE, silent('Guest agent is not responding: QEMU guest agent is not connected'))
  await pass(0)
  expect(addresses.of(ONE)).toEqual([])
  claims.set(ONE, ['192.0.2.7'])
  connected(ONE)
  // However often it says so.
  connected(ONE)
  await pass(5_000)
  expect(addresses.of(ONE)).toEqual(['192.0.2.7'])
  expect(asked).toHaveLength(2)
})

test('they end with the run of the guest', async () => {
  claims.set(ONE, ['192.0.2.7'])
  await pass(0)
  become(ONE, 'PAUSED')
  expect(addresses.of(ONE)).toEqual(['192.0.2.7'])
  become(ONE, 'STOPPED')
  expect(addresses.of(ONE)).toBeUndefined()
  await pass(600_000)
  expect(asked).toHaveLength(1)
  become(ONE, 'RUNNING')
  await pass(0)
  expect(addresses.of(ONE)).toEqual(['192.0.2.7'])
})

test('guests are asked one after the other; an answer of a run that has ended meanwhile does not count', async () => {
  const late = Promise.withResolvers<readonly string[]>()
  claims.set(ONE, late.promise)
  claims.set(TWO, ['192.0.2.2'])
  become(TWO, 'RUNNING')
  await pass(0)
  expect(asked).toEqual([ONE])
  become(ONE, 'STOPPED')
  late.resolve(['192.0.2.1'])
  await pass(0)
  expect(addresses.of(ONE)).toBeUndefined()
  expect(addresses.of(TWO)).toEqual(['192.0.2.2'])
})
