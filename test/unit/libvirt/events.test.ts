import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import { connectedClient, domain, FakeDaemon } from './fake-daemon.ts'

const REGISTER = 'remote:CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY'
const DEREGISTER = 'remote:CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY'
const LIFECYCLE = 'remote:DOMAIN_EVENT_CALLBACK_LIFECYCLE'

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

/** Resolves when the connection was lost and is there again. */
async function reconnected(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let lost = false
  client.onState(({ phase }) => {
    lost ||= phase === 'disconnected'
    if (lost && phase === 'connected') resolve()
  })
  await promise
}

const lifecycle = (callbackID: number, event: number) => ({ callbackID, msg: { dom: domain(1), event, detail: 0 } })

describe('subscribing', () => {
  test('delivers payloads without the registration id, whichever shape the message has', async () => {
    const seen: unknown[] = []
    daemon.handle(REGISTER, (call) => ({ callbackID: 40 + (call.args as { eventID: number }).eventID }))
    await client.subscribe('domain:LIFECYCLE', (payload) => seen.push({ event: payload.event, id: payload.dom.id }))
    await client.subscribe('domain:AGENT_LIFECYCLE', (payload) => seen.push({ state: payload.state }))
    const [call] = await daemon.received(REGISTER)
    call?.connection.event(LIFECYCLE, lifecycle(40, 2))
    call?.connection.event('remote:DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE', {
      callbackID: 58,
      dom: domain(1),
      state: 1,
      reason: 0,
    })
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual([{ event: 2, id: 1 }, { state: 1 }])
  })

  test('an event that overtakes the reply of its registration is not lost', async () => {
    const seen: number[] = []
    daemon.handle(REGISTER, (call) => {
      if ((call.args as { eventID: number }).eventID !== 0) return { callbackID: 78 }
      call.connection.event(LIFECYCLE, lifecycle(77, 5))
      call.reply({ callbackID: 77 })
      call.connection.event(LIFECYCLE, lifecycle(77, 6))
      return undefined
    })
    await client.subscribe('domain:LIFECYCLE', (payload) => seen.push(payload.event))
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual([5, 6])
  })

  test('equal ids of two families are told apart', async () => {
    const seen: string[] = []
    daemon.handle(REGISTER, () => ({ callbackID: 2 }))
    daemon.handle('remote:CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY', () => ({ callbackID: 2 }))
    await client.subscribe('domain:LIFECYCLE', () => seen.push('domain'))
    await client.subscribe('pool:LIFECYCLE', () => seen.push('pool'))
    const pool = { name: 'p', uuid: new Uint8Array(16) }
    const [call] = await daemon.received(REGISTER)
    call?.connection.event('remote:STORAGE_POOL_EVENT_LIFECYCLE', { callbackID: 2, pool, event: 0, detail: 0 })
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual(['pool'])
  })

  test('any number of listeners share one registration, which ends with the last', async () => {
    const seen: string[] = []
    const offA = await client.subscribe('domain:LIFECYCLE', () => seen.push('a'))
    const offB = await client.subscribe('domain:LIFECYCLE', () => seen.push('b'))
    const registered = await daemon.received(REGISTER)
    expect(registered).toHaveLength(1)
    await offA()
    expect(daemon.calls.some((call) => call.name === DEREGISTER)).toBe(false)
    registered[0]?.connection.event(LIFECYCLE, lifecycle(0, 1))
    await client.subscribe('domain:WATCHDOG', () => {})
    await offB()
    expect(daemon.calls.filter((call) => call.name === DEREGISTER)).toHaveLength(1)
    // One that was under way when the registration ended.
    registered[0]?.connection.event(LIFECYCLE, lifecycle(0, 1))
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual(['b'])
  })

  test('a listener that throws harms neither the others nor the replies', async () => {
    const seen: number[] = []
    await client.subscribe('domain:LIFECYCLE', () => {
      throw new Error('a bug')
    })
    await client.subscribe('domain:LIFECYCLE', (payload) => seen.push(payload.event))
    ;(await daemon.received(REGISTER))[0]?.connection.event(LIFECYCLE, lifecycle(0, 3))
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual([3])
  })

  test('a refusal goes to the one who asked, and a later subscription works', async () => {
    daemon.handle(REGISTER, (call) => call.fail({ code: VIR_ERR.NO_SUPPORT, message: 'not by this driver' }))
    await expect(client.subscribe('domain:TUNABLE', () => {})).rejects.toMatchObject({ code: VIR_ERR.NO_SUPPORT })
    daemon.handle(REGISTER, () => ({ callbackID: 5 }))
    const seen: unknown[] = []
    await client.subscribe('domain:LIFECYCLE', (payload) => seen.push(payload.event))
    ;(await daemon.received(REGISTER, 2))[1]?.connection.event(LIFECYCLE, lifecycle(5, 4))
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual([4])
  })
})

describe('reconnecting', () => {
  test('registers events again, then resyncs, and only then says connected', async () => {
    const order: string[] = []
    const seen: number[] = []
    await client.subscribe('domain:LIFECYCLE', (payload) => seen.push(payload.event))
    client.onState((state) => order.push(state.phase))
    client.onResync(async () => {
      order.push(`resync in ${client.state.phase}`)
      daemon.handle('remote:CONNECT_LIST_ALL_DOMAINS', () => ({ domains: [domain(4)], ret: 1 }))
      const { domains } = await client.call('remote:CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags: 0 })
      order.push(`listed ${domains.length}`)
    })
    daemon.handle(REGISTER, () => {
      order.push('registered')
      return { callbackID: 1_000 }
    })
    const again = reconnected()
    daemon.connections[0]?.socket.destroy()
    await again
    expect(order).toEqual(['disconnected', 'registered', 'resyncing', 'resync in resyncing', 'listed 1', 'connected'])
    daemon.calls.findLast((call) => call.name === REGISTER)?.connection.event(LIFECYCLE, lifecycle(1_000, 8))
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual([8])
  })

  test('a resync that fails is a connection that failed: it is made anew', async () => {
    let attempts = 0
    client.onResync(async () => {
      attempts++
      if (attempts === 1) throw new Error('could not list')
    })
    const errors: string[] = []
    client.onState((state) => state.error !== undefined && errors.push(state.error.message))
    const again = reconnected()
    daemon.connections[0]?.socket.destroy()
    await again
    expect(attempts).toBe(2)
    expect(errors.at(-1)).toBe('could not list')
  })

  test('an event that the new daemon lacks does not keep us from connecting', async () => {
    await client.subscribe('domain:LIFECYCLE', () => {})
    daemon.handle(REGISTER, (call) => call.fail({ code: VIR_ERR.NO_SUPPORT, message: 'no such event' }))
    const again = reconnected()
    daemon.connections[0]?.socket.destroy()
    await again
    expect(daemon.calls.filter((call) => call.name === REGISTER)).toHaveLength(2)
  })

  test('the daemon behind a proxy that is gone counts as gone', async () => {
    const lost = Promise.withResolvers<string | undefined>()
    client.onState((state) => state.phase === 'disconnected' && lost.resolve(state.error?.message))
    daemon.connections[0]?.event('remote:CONNECT_EVENT_CONNECTION_CLOSED', { reason: 1 })
    expect(await lost.promise).toContain('behind the connection')
    await client.ready(AbortSignal.timeout(10_000))
  })

  test('a daemon that comes up later is found', async () => {
    const late = new FakeDaemon()
    const waiting = new LibvirtClient({ uri: 'qemu:///system', socketPath: late.socketPath, log: silentLogger })
    const refused = Promise.withResolvers<void>()
    waiting.onState((state) => state.phase === 'disconnected' && refused.resolve())
    await refused.promise
    await expect(waiting.call('remote:CONNECT_GET_TYPE', {})).rejects.toMatchObject({
      name: 'LibvirtGone',
      outcomeUnknown: false,
    })
    await late.listen()
    await waiting.ready(AbortSignal.timeout(10_000))
    await waiting.close()
    await late.die()
  })

  test('a connection that breaks while an event is being registered does not lose the subscription', async () => {
    const again = reconnected()
    const seen: number[] = []
    let first = true
    daemon.handle(REGISTER, (call) => {
      if (!first) return { callbackID: 9 }
      first = false
      call.connection.socket.destroy()
      return undefined
    })
    await client.subscribe('domain:LIFECYCLE', (payload) => seen.push(payload.event))
    await again
    daemon.calls.findLast((call) => call.name === REGISTER)?.connection.event(LIFECYCLE, lifecycle(9, 7))
    await client.subscribe('domain:REBOOT', () => {})
    expect(seen).toEqual([7])
  })

  test('a subscription made without a connection is registered when there is one', async () => {
    const late = new FakeDaemon()
    const waiting = new LibvirtClient({ uri: 'qemu:///system', socketPath: late.socketPath, log: silentLogger })
    await waiting.subscribe('domain:LIFECYCLE', () => {})
    await late.listen()
    await waiting.ready(AbortSignal.timeout(10_000))
    expect(late.calls.some((call) => call.name === REGISTER)).toBe(true)
    await waiting.close()
    await late.die()
  })

  test('closing while there is no daemon ends at once, and ready() says so', async () => {
    const hopeless = new LibvirtClient({ uri: 'qemu:///system', socketPath: '/nonexistent/sock', log: silentLogger })
    const ready = hopeless.ready(AbortSignal.timeout(10_000)).catch((error: unknown) => error)
    await hopeless.close()
    expect(await ready).toMatchObject({ name: 'LibvirtGone' })
  })
})
