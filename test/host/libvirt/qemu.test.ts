import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import {
  VIR_CONNECT_GET_ALL_DOMAINS_STATS,
  VIR_DOMAIN_DESTROY,
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_EVENT_STARTED,
  VIR_DOMAIN_EVENT_STOPPED,
  VIR_DOMAIN_QEMU_AGENT_COMMAND,
  VIR_DOMAIN_QEMU_MONITOR_COMMAND,
  VIR_DOMAIN_START,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../../../src/libvirt/constants.ts'
import type { RemoteNonnullDomain } from '../../../src/libvirt/wire/remote-types.gen.ts'
import { missingLibvirt } from '../require.ts'
import { liveClient, qemuPid, recordEvents, removeGuest, tinyGuestXml } from './live.ts'

describe.skipIf(missingLibvirt() !== undefined)('the client on a real QEMU driver', () => {
  let client: LibvirtClient
  const made: RemoteNonnullDomain[] = []
  beforeAll(async () => {
    client = await liveClient('qemu:///system')
  })
  afterEach(async () => {
    for (const dom of made.splice(0)) await removeGuest(client, dom)
  })
  afterAll(() => client.close())

  async function define(): Promise<RemoteNonnullDomain> {
    const { dom } = await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml: tinyGuestXml(), flags: 0 })
    made.push(dom)
    return dom
  }
  async function startPaused(): Promise<RemoteNonnullDomain> {
    const dom = await define()
    return (await client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom, flags: VIR_DOMAIN_START.PAUSED })).dom
  }
  const stateOf = async (dom: RemoteNonnullDomain) =>
    (await client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 })).state

  test('a guest is defined, started paused, resumed, destroyed and undefined, and every step is an event', async () => {
    const events = await recordEvents(client, 'domain:LIFECYCLE')
    const dom = await startPaused()
    expect(dom.id).toBeGreaterThan(0)
    expect(await stateOf(dom)).toBe(VIR_DOMAIN_STATE.PAUSED)
    await client.call('remote:DOMAIN_RESUME', { dom })
    expect(await stateOf(dom)).toBe(VIR_DOMAIN_STATE.RUNNING)
    await client.call('remote:DOMAIN_DESTROY_FLAGS', { dom, flags: VIR_DOMAIN_DESTROY.DEFAULT })
    await client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom, flags: 0 })
    await events.until((event) => event.event === VIR_DOMAIN_EVENT.UNDEFINED)
    // QEMU may announce its shutdown when it is told to end.
    const own = events.seen.filter((event) => event.dom.name === dom.name && event.event !== VIR_DOMAIN_EVENT.SHUTDOWN)
    expect(own.map((event) => event.event)).toEqual([
      VIR_DOMAIN_EVENT.DEFINED,
      VIR_DOMAIN_EVENT.STARTED,
      VIR_DOMAIN_EVENT.SUSPENDED,
      VIR_DOMAIN_EVENT.RESUMED,
      VIR_DOMAIN_EVENT.STOPPED,
      VIR_DOMAIN_EVENT.UNDEFINED,
    ])
    expect(own[1]?.detail).toBe(VIR_DOMAIN_EVENT_STARTED.BOOTED)
    expect(own[4]?.detail).toBe(VIR_DOMAIN_EVENT_STOPPED.DESTROYED)
    await events.stop()
  })

  test('the monitor answers QMP and HMP', async () => {
    const dom = await startPaused()
    const qmp = await client.call('qemu:DOMAIN_MONITOR_COMMAND', {
      dom,
      cmd: '{"execute":"query-status"}',
      flags: VIR_DOMAIN_QEMU_MONITOR_COMMAND.DEFAULT,
    })
    expect(JSON.parse(qmp.result)).toMatchObject({ return: { running: false } })
    const hmp = await client.call('qemu:DOMAIN_MONITOR_COMMAND', {
      dom,
      cmd: 'info status',
      flags: VIR_DOMAIN_QEMU_MONITOR_COMMAND.HMP,
    })
    expect(hmp.result).toContain('paused')
  })

  test('an agent that is not there is error 86, not a hang', async () => {
    const dom = await startPaused()
    await client.call('remote:DOMAIN_RESUME', { dom })
    await expect(
      client.call('qemu:DOMAIN_AGENT_COMMAND', {
        dom,
        cmd: '{"execute":"guest-ping"}',
        timeout: VIR_DOMAIN_QEMU_AGENT_COMMAND.DEFAULT,
        flags: 0,
      }),
    ).rejects.toMatchObject({ code: VIR_ERR.AGENT_UNRESPONSIVE })
  })

  test('a console is a stream in both directions that costs the guest nothing when it ends', async () => {
    const dom = await startPaused()
    const args = { dom, dev_name: null, flags: 0 }
    const stream = await client.openStream('remote:DOMAIN_OPEN_CONSOLE', args, { idleTimeoutMs: Infinity })
    await stream.write(Buffer.from('\n'))
    const reading = stream.read().catch(() => undefined)
    await stream.abort()
    await reading
    expect(await stateOf(dom)).toBe(VIR_DOMAIN_STATE.PAUSED)
    // The console is free again: libvirt allows one user at a time.
    await (await client.openStream('remote:DOMAIN_OPEN_CONSOLE', args)).abort()
  })

  test('monitor events are told', async () => {
    const events = await recordEvents(client, 'qemu:MONITOR_EVENT')
    const dom = await startPaused()
    await client.call('remote:DOMAIN_RESUME', { dom })
    const event = await events.until((each) => each.event === 'RESUME')
    expect(event.dom.name).toBe(dom.name)
    expect(event.seconds).toBeTypeOf('bigint')
    await events.stop()
  })

  test('a guest whose QEMU hangs times out alone: the rest works, and it can still be destroyed', async () => {
    const stuck = await startPaused()
    const other = await startPaused()
    process.kill(await qemuPid(stuck.name), 'SIGSTOP')
    const monitor = (dom: RemoteNonnullDomain, timeoutMs: number) =>
      client.call('qemu:DOMAIN_MONITOR_COMMAND', { dom, cmd: '{"execute":"query-status"}', flags: 0 }, { timeoutMs })
    await expect(monitor(stuck, 300)).rejects.toMatchObject({ name: 'LibvirtTimeout', outcomeUnknown: true })
    // The second one waits behind the first, in our queue and not in a worker of libvirtd.
    await expect(monitor(stuck, 100)).rejects.toMatchObject({ name: 'LibvirtTimeout', outcomeUnknown: false })
    expect(client.stats?.slow).toMatchObject({ stuck: 1, inFlight: 1 })
    expect(await stateOf(stuck)).toBe(VIR_DOMAIN_STATE.PAUSED)
    expect((await monitor(other, 30_000)).result).toContain('running')
    const flags = VIR_CONNECT_GET_ALL_DOMAINS_STATS.NOWAIT
    const { retStats } = await client.call(
      'remote:CONNECT_GET_ALL_DOMAIN_STATS',
      { doms: [], stats: 0, flags },
      { timeoutMs: 30_000 },
    )
    expect(retStats.map((record) => record.dom.name)).toContain(stuck.name)
    await client.call('remote:DOMAIN_DESTROY', { dom: stuck }, { timeoutMs: 60_000 })
    expect(await stateOf(stuck)).toBe(VIR_DOMAIN_STATE.SHUTOFF)
    // Destroying the guest ends the stuck call, and with it the slot is free.
    expect((await monitor(other, 30_000)).result).toContain('running')
    expect(client.stats?.slow.stuck).toBe(0)
  })

  test('with every low-priority slot stuck on one hung guest, questions and the end of that guest still get through', async () => {
    const dom = await startPaused()
    process.kill(await qemuPid(dom.name), 'SIGSTOP')
    const command = { dom, cmd: '{"execute":"query-status"}', flags: 0 }
    const stuck = Array.from({ length: 14 }, () =>
      client.call('qemu:DOMAIN_MONITOR_COMMAND', command, { mayOverlap: true }).catch(() => 'ended'),
    )
    do expect(await stateOf(dom)).toBe(VIR_DOMAIN_STATE.PAUSED)
    while (client.stats?.slow.inFlight !== 12)
    expect(client.stats.slow.queued).toBe(2)
    await client.call('remote:DOMAIN_DESTROY', { dom }, { timeoutMs: 60_000 })
    expect(new Set(await Promise.all(stuck))).toEqual(new Set(['ended']))
    expect(client.state.phase).toBe('connected')
  })
})
