import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import { exclusiveKey, laneOf } from '../../../src/libvirt/lanes.ts'
import { findProcedure, type ProcedureName } from '../../../src/libvirt/programs.ts'
import { connectedClient, domain, FakeDaemon, type ReceivedCall } from './fake-daemon.ts'

let daemon: FakeDaemon
let client: LibvirtClient

beforeEach(async () => {
  daemon = await new FakeDaemon().listen()
  client = await connectedClient(daemon)
})

afterEach(async () => {
  await client.close()
  await daemon.die()
})

const INFO = 'remote:DOMAIN_GET_INFO'
const info = (n: number, options: Parameters<LibvirtClient['call']>[2] = {}) =>
  client.call(INFO, { dom: domain(n) }, { timeoutMs: 10_000, ...options })
const infoReply = { state: 1, maxMem: 1n, memory: 1n, nrVirtCpu: 1, cpuTime: 1n }
const ids = (calls: ReceivedCall[]) => calls.map((call) => (call.args as { dom: { id: number } }).dom.id)

/** A barrier: when its answer is here, the daemon has seen all that was sent before on other lanes too. */
async function settled(): Promise<void> {
  daemon.handle('remote:CONNECT_GET_TYPE', () => ({ type: 'QEMU' }))
  for (let i = 0; i < 3; i++) await client.call('remote:CONNECT_GET_TYPE', {})
}

describe('the lane of a procedure', () => {
  const lane = (name: ProcedureName) => laneOf(name, findProcedure(name).procedure)

  test.each([
    ['remote:DOMAIN_GET_STATE', 'fast'],
    ['remote:CONNECT_LIST_ALL_DOMAINS', 'fast'],
    ['remote:NODE_GET_INFO', 'fast'],
    ['remote:DOMAIN_GET_INFO', 'slow'],
    ['remote:DOMAIN_CREATE_WITH_FLAGS', 'slow'],
    ['remote:CONNECT_GET_ALL_DOMAIN_STATS', 'slow'],
    ['qemu:DOMAIN_MONITOR_COMMAND', 'slow'],
    ['qemu:DOMAIN_AGENT_COMMAND', 'guest'],
    ['remote:DOMAIN_GET_GUEST_INFO', 'guest'],
    ['remote:DOMAIN_DEFINE_XML_FLAGS', 'control'],
    ['remote:STORAGE_POOL_GET_INFO', 'slow'],
    ['remote:DOMAIN_DESTROY_FLAGS', 'control'],
    ['remote:DOMAIN_ABORT_JOB', 'control'],
  ] as const)('%s is %s', (name, expected) => {
    expect(lane(name)).toBe(expected)
  })

  test('agent and monitor of one domain are apart, snapshots belong to their domain', () => {
    const key = (name: ProcedureName, args: unknown) => exclusiveKey(name, findProcedure(name).procedure, args)
    const monitor = key('qemu:DOMAIN_MONITOR_COMMAND', { dom: domain(1) })
    expect(key('qemu:DOMAIN_AGENT_COMMAND', { dom: domain(1) })).not.toBe(monitor)
    expect(key('remote:DOMAIN_SNAPSHOT_DELETE', { snap: { name: 's', dom: domain(1) } })).toBe(monitor)
    expect(key(INFO, { dom: domain(2) })).not.toBe(monitor)
    expect(key('remote:CONNECT_GET_ALL_DOMAIN_STATS', { doms: [domain(1)] })).toBeUndefined()
    expect(key(INFO, undefined)).toBeUndefined()
  })
})

describe('limits', () => {
  test('at most 4 calls are in flight per connection and 12 of low priority in all; the rest follows as slots come free', async () => {
    const open: ReceivedCall[] = []
    const peak = { perConnection: 0, total: 0 }
    daemon.handle(INFO, (call) => {
      open.push(call)
      peak.total = Math.max(peak.total, open.length)
      const same = open.filter((other) => other.connection === call.connection).length
      peak.perConnection = Math.max(peak.perConnection, same)
      return undefined
    })
    const answers = Array.from({ length: 100 }, (_, n) => info(n + 1))
    for (let done = 0; done < 100; done++) {
      await daemon.until(() => open.length >= Math.min(12, 100 - done))
      open.shift()?.reply(infoReply)
    }
    await Promise.all(answers)
    expect(peak).toEqual({ perConnection: 4, total: 12 })
  })

  test('quick questions pass while every low-priority slot is stuck', async () => {
    const stuck = Array.from({ length: 20 }, (_, n) => info(n + 1).catch(() => 'gone'))
    await daemon.received(INFO, 12)
    daemon.handle('remote:DOMAIN_GET_STATE', () => ({ state: 1, reason: 1 }))
    expect(await client.call('remote:DOMAIN_GET_STATE', { dom: domain(1), flags: 0 })).toEqual({ state: 1, reason: 1 })
    daemon.handle('remote:DOMAIN_DESTROY_FLAGS', () => ({}))
    await client.call('remote:DOMAIN_DESTROY_FLAGS', { dom: domain(1), flags: 0 })
    expect(client.stats?.slow).toMatchObject({ inFlight: 12, queued: 8 })
    await client.close()
    expect(new Set(await Promise.all(stuck))).toEqual(new Set(['gone']))
  })
})

test('work on guests passes while every slot for guest agents is held by silent ones', async () => {
  const ask = (n: number) =>
    client.call('qemu:DOMAIN_AGENT_COMMAND', { dom: domain(n), cmd: '{}', timeout: 5, flags: 0 }).catch(() => 'gone')
  const silent = Array.from({ length: 6 }, (_, n) => ask(n + 1))
  await daemon.received('qemu:DOMAIN_AGENT_COMMAND', 4)
  daemon.handle(INFO, (call) => call.reply(infoReply))
  expect(await info(1)).toEqual(infoReply)
  expect(client.stats?.guest).toMatchObject({ inFlight: 4, queued: 2 })
  await client.close()
  expect(new Set(await Promise.all(silent))).toEqual(new Set(['gone']))
})

describe('one call per domain', () => {
  test('calls on one domain go out one after the other, in order; other domains do not wait', async () => {
    const first = info(1)
    const second = info(1)
    const other = info(2)
    await daemon.received(INFO, 2)
    await settled()
    expect(ids(await daemon.received(INFO))).toEqual([1, 2])
    for (const call of await daemon.received(INFO, 2)) call.reply(infoReply)
    const third = (await daemon.received(INFO, 3))[2]
    expect(ids([third!])).toEqual([1])
    third?.reply(infoReply)
    await Promise.all([first, second, other])
  })

  test('a timed-out call keeps its slot and its domain until the late reply', async () => {
    await expect(info(1, { timeoutMs: 20 })).rejects.toMatchObject({ outcomeUnknown: true })
    await expect(info(1, { timeoutMs: 20 })).rejects.toMatchObject({ name: 'LibvirtTimeout', outcomeUnknown: false })
    const next = info(1)
    await settled()
    expect(await daemon.received(INFO)).toHaveLength(1)
    expect(client.stats?.slow).toMatchObject({ inFlight: 1, stuck: 1, queued: 1 })
    daemon.calls.find((call) => call.name === INFO)?.reply(infoReply)
    ;(await daemon.received(INFO, 2))[1]?.reply(infoReply)
    expect(await next).toEqual(infoReply)
    expect(client.stats?.slow).toMatchObject({ inFlight: 0, stuck: 0, queued: 0 })
  })

  test('a caller that leaves the queue does not hold up those behind it', async () => {
    const abort = new AbortController()
    const first = info(1)
    const leaver = info(1, { signal: abort.signal })
    const last = info(1)
    await daemon.received(INFO)
    abort.abort(new Error('left'))
    await expect(leaver).rejects.toThrow('left')
    for (let n = 0; n < 2; n++) (await daemon.received(INFO, n + 1))[n]?.reply(infoReply)
    await Promise.all([first, last])
    expect(await daemon.received(INFO)).toHaveLength(2)
  })

  test('a call that cannot be encoded frees its domain', async () => {
    const bad = { dom: { ...domain(1), name: 'a\0b' } }
    await expect(client.call(INFO, bad)).rejects.toBeInstanceOf(RangeError)
    const good = info(1)
    ;(await daemon.received(INFO))[0]?.reply(infoReply)
    expect(await good).toEqual(infoReply)
  })

  test('mayOverlap lets a question pass during a long job', async () => {
    const job = client.call('remote:DOMAIN_MANAGED_SAVE', { dom: domain(1), flags: 0 }).catch(() => 'gone')
    await daemon.received('remote:DOMAIN_MANAGED_SAVE')
    const question = info(1, { mayOverlap: true })
    ;(await daemon.received(INFO))[0]?.reply(infoReply)
    expect(await question).toEqual(infoReply)
    await client.close()
    expect(await job).toBe('gone')
  })
})

describe('a lane connection that breaks alone', () => {
  test('loses only its own calls and is replaced', async () => {
    const lost = info(1).catch((error: unknown) => error)
    const waiting = info(1)
    const [call] = await daemon.received(INFO)
    call?.connection.socket.destroy()
    expect(await lost).toMatchObject({ name: 'LibvirtGone', outcomeUnknown: true })
    const [, second] = await daemon.received(INFO, 2)
    second?.reply(infoReply)
    expect(await waiting).toEqual(infoReply)
    expect(client.state.phase).toBe('connected')
  })

  test('that cannot be replaced fails what waits for it, unsent, and a later call tries anew', async () => {
    daemon.handle('remote:CONNECT_OPEN', (call) =>
      call.fail({ code: VIR_ERR.INTERNAL_ERROR, message: 'too many clients' }),
    )
    const lost = info(1).catch((error: unknown) => error)
    const waiting = info(1).catch((error: unknown) => error)
    ;(await daemon.received(INFO))[0]?.connection.socket.destroy()
    expect(await lost).toMatchObject({ outcomeUnknown: true })
    expect(await waiting).toMatchObject({ name: 'LibvirtGone', outcomeUnknown: false })
    daemon.handle('remote:CONNECT_OPEN', () => ({}))
    const later = info(1)
    ;(await daemon.received(INFO, 2))[1]?.reply(infoReply)
    expect(await later).toEqual(infoReply)
  })
})
