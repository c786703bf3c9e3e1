import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import {
  isUnsupported,
  LibvirtError,
  LibvirtGone,
  LibvirtProtocolError,
  LibvirtTimeout,
} from '../../../src/libvirt/errors.ts'
import { connectedClient, domain, errorBody, FakeDaemon, frame, KEEPALIVE } from './fake-daemon.ts'

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

const state = (n = 1, timeoutMs = 10_000) =>
  client.call('remote:DOMAIN_GET_STATE', { dom: domain(n), flags: 0 }, { timeoutMs })

describe('replies', () => {
  test('one that comes byte by byte is the same reply', async () => {
    daemon.handle('remote:DOMAIN_GET_STATE', (call) => {
      const bytes = frame({ ...call.packet, type: 1, body: call.encodeReply({ state: 3, reason: 7 }) })
      void (async () => {
        for (const byte of bytes) {
          call.connection.sendRaw(Buffer.from([byte]))
          await new Promise(setImmediate)
        }
      })()
    })
    expect(await state()).toEqual({ state: 3, reason: 7 })
  })

  test('they are matched by serial number, in whatever order they come', async () => {
    const answers = [state(1), state(2), state(3)]
    const calls = await daemon.received('remote:DOMAIN_GET_STATE', 3)
    for (const call of calls.toReversed())
      call.reply({ state: (call.args as { dom: { id: number } }).dom.id, reason: 0 })
    expect((await Promise.all(answers)).map((a) => a.state)).toEqual([1, 2, 3])
  })

  test('an error carries everything libvirt said', async () => {
    daemon.handle('remote:DOMAIN_GET_STATE', (call) =>
      call.fail({
        code: VIR_ERR.SYSTEM_ERROR,
        domain: 10,
        level: 2,
        message: 'Unable to open /x',
        str1: '%s',
        str2: 'Unable',
        str3: null,
        int1: 13,
        int2: -1,
      }),
    )
    const error = await state().catch((e: unknown) => e)
    expect(error).toBeInstanceOf(LibvirtError)
    expect(error).toMatchObject({
      procedure: 'remote:DOMAIN_GET_STATE',
      code: 38,
      codeName: 'VIR_ERR_SYSTEM_ERROR',
      domain: 10,
      message: 'Unable to open /x',
      str1: '%s',
      str2: 'Unable',
      str3: null,
      int1: 13,
      int2: -1,
    })
  })

  test('an unknown procedure is told from other errors of RPC', async () => {
    daemon.handle('remote:DOMAIN_GET_STATE', (call) =>
      call.fail({ code: VIR_ERR.RPC, message: 'unknown procedure: 212' }),
    )
    expect(await state().catch(isUnsupported)).toBe(true)
    daemon.handle('remote:DOMAIN_GET_STATE', (call) => call.fail({ code: VIR_ERR.RPC, message: 'nparams too large' }))
    expect(await state().catch(isUnsupported)).toBe(false)
  })

  test('one that cannot be decoded fails its own call and no other', async () => {
    daemon.handle('remote:DOMAIN_GET_STATE', (call) =>
      call.connection.send({ ...call.packet, type: 1, body: Buffer.alloc(4) }),
    )
    await expect(state()).rejects.toBeInstanceOf(LibvirtProtocolError)
    daemon.handle('remote:DOMAIN_GET_STATE', () => ({ state: 1, reason: 1 }))
    expect(await state()).toEqual({ state: 1, reason: 1 })
    expect(client.state.phase).toBe('connected')
  })

  test('one with an unknown serial is passed over', async () => {
    daemon.handle('remote:DOMAIN_GET_STATE', (call) => {
      call.connection.send({ ...call.packet, type: 1, serial: 9_999, body: Buffer.alloc(8) })
      return { state: 1, reason: 1 }
    })
    expect(await state()).toEqual({ state: 1, reason: 1 })
  })

  test.each([
    [
      'a reply of another procedure',
      (packet: Parameters<typeof frame>[0]) => frame({ ...packet, type: 1, procedure: 1, body: Buffer.alloc(8) }),
    ],
    ['an oversized length word', () => Buffer.from('7fffffff00000000', 'hex')],
    ['a length word below the header', () => Buffer.from('0000000800000000', 'hex')],
    [
      'a message of unknown type',
      (packet: Parameters<typeof frame>[0]) => frame({ ...packet, type: 77, body: Buffer.alloc(0) }),
    ],
  ])('%s ends the connection, and the call has an unknown outcome', async (_what, make) => {
    const answer = state()
    const [call] = await daemon.received('remote:DOMAIN_GET_STATE')
    call?.connection.sendRaw(make({ ...call.packet, body: Buffer.alloc(0) }))
    const error = await answer.catch((e: unknown) => e)
    expect(error).toBeInstanceOf(LibvirtGone)
    expect(error).toMatchObject({ outcomeUnknown: true })
    expect((error as Error).cause).toBeInstanceOf(LibvirtProtocolError)
    await daemon.until(() => call?.connection.closed)
  })
})

describe('a connection that is closed', () => {
  test('in the middle of a call leaves its outcome unknown; a call after it was not sent', async () => {
    const answer = state()
    await daemon.received('remote:DOMAIN_GET_STATE')
    await daemon.die()
    await expect(answer).rejects.toMatchObject({
      name: 'LibvirtGone',
      outcomeUnknown: true,
      procedure: 'remote:DOMAIN_GET_STATE',
    })
    await expect(state()).rejects.toMatchObject({ name: 'LibvirtGone', outcomeUnknown: false })
  })

  test('in the middle of a reply is no reply', async () => {
    const answer = state()
    const [call] = await daemon.received('remote:DOMAIN_GET_STATE')
    call?.connection.sendRaw(
      frame({ ...call.packet, type: 1, body: call.encodeReply({ state: 1, reason: 1 }) }).subarray(0, 30),
    )
    call?.connection.socket.end()
    await expect(answer).rejects.toMatchObject({ outcomeUnknown: true })
  })

  test('by us settles every call, sent or queued', async () => {
    const answers = Array.from({ length: 40 }, (_, i) => state(i).catch((error: unknown) => error as LibvirtGone))
    await daemon.received('remote:DOMAIN_GET_STATE', 16)
    await client.close()
    const errors = await Promise.all(answers)
    expect(errors.every((error) => error instanceof LibvirtGone)).toBe(true)
    expect(errors.filter((error) => (error as LibvirtGone).outcomeUnknown)).toHaveLength(16)
    expect(client.state.phase).toBe('closed')
    await expect(state()).rejects.toBeInstanceOf(LibvirtGone)
  })
})

describe('giving up on a call', () => {
  test('at its deadline answers the caller; the late reply is taken without harm', async () => {
    const error = await state(1, 20).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(LibvirtTimeout)
    expect(error).toMatchObject({ outcomeUnknown: true })
    expect(client.stats?.fast).toMatchObject({ inFlight: 1, stuck: 1 })
    const [late] = await daemon.received('remote:DOMAIN_GET_STATE')
    late?.reply({ state: 9, reason: 9 })
    daemon.handle('remote:DOMAIN_GET_STATE', () => ({ state: 1, reason: 1 }))
    // Several, so that the connection of the late reply is among those used.
    expect(await Promise.all([state(), state(), state(), state()])).toEqual(Array(4).fill({ state: 1, reason: 1 }))
    expect(client.stats?.fast).toMatchObject({ inFlight: 0, stuck: 0 })
  })

  test('by its signal rejects with the reason of the signal', async () => {
    const abort = new AbortController()
    const reason = new Error('the user went home')
    const answer = client.call('remote:DOMAIN_GET_STATE', { dom: domain(1), flags: 0 }, { signal: abort.signal })
    await daemon.received('remote:DOMAIN_GET_STATE')
    abort.abort(reason)
    await expect(answer).rejects.toBe(reason)
    expect(client.stats?.fast.stuck).toBe(1)
  })

  test('before it began sends nothing', async () => {
    const options = { signal: AbortSignal.abort(new Error('too late')) }
    await expect(client.call('remote:DOMAIN_GET_STATE', { dom: domain(1), flags: 0 }, options)).rejects.toThrow(
      'too late',
    )
    expect(daemon.calls.some((call) => call.name === 'remote:DOMAIN_GET_STATE')).toBe(false)
  })

  test('arguments that do not fit are refused, and the next call goes out whole', async () => {
    await expect(client.call('remote:DOMAIN_LOOKUP_BY_NAME', { name: 'a\0b' })).rejects.toBeInstanceOf(RangeError)
    daemon.handle('remote:DOMAIN_GET_STATE', () => ({ state: 1, reason: 1 }))
    expect(await state()).toEqual({ state: 1, reason: 1 })
  })
})

describe('keepalive', () => {
  const pings = (procedure: number) =>
    daemon.connections.flatMap((c) => c.packets).filter((p) => p.program === KEEPALIVE && p.procedure === procedure)

  test('a ping of the daemon is answered, on every connection that has calls or events', async () => {
    for (const connection of daemon.connections) {
      connection.send({ program: KEEPALIVE, procedure: 1, type: 2, serial: 0, status: 0, body: Buffer.alloc(0) })
    }
    await daemon.until(() => pings(2).length === daemon.connections.length)
    expect(pings(2)[0]).toMatchObject({ type: 2, serial: 0, status: 0 })
  })

  test('it is announced before the driver is opened', () => {
    const names = daemon.calls.filter((call) => call.connection === daemon.connections[0]).map((call) => call.name)
    expect(names.slice(0, 3)).toEqual(['remote:AUTH_LIST', 'remote:CONNECT_SUPPORTS_FEATURE', 'remote:CONNECT_OPEN'])
  })

  test('a daemon that is silent for all our pings is left', async () => {
    const impatient = await connectedClient(daemon, { keepaliveIntervalMs: 5, keepaliveCount: 2 })
    const why = Promise.withResolvers<string | undefined>()
    impatient.onState((s) => s.phase === 'disconnected' && why.resolve(s.error?.message))
    expect(await why.promise).toContain('did not answer 2 keepalive messages')
    await impatient.close()
  })

  test('a daemon that answers our pings is kept', async () => {
    const patient = await connectedClient(daemon, { keepaliveIntervalMs: 5, keepaliveCount: 2 })
    const lost: string[] = []
    patient.onState((s) => lost.push(s.phase))
    const answered = new Set<object>()
    await daemon.until(() => {
      for (const connection of daemon.connections) {
        for (const packet of connection.packets) {
          if (packet.program !== KEEPALIVE || packet.procedure !== 1 || answered.has(packet)) continue
          answered.add(packet)
          connection.send({ ...packet, procedure: 2 })
        }
      }
      return answered.size > 20
    })
    expect(lost).toEqual([])
    await patient.close()
  })
})

describe('authentication', () => {
  test('polkit is used when the daemon asks for it', async () => {
    daemon.handle('remote:AUTH_LIST', () => ({ types: [2] }))
    daemon.handle('remote:AUTH_POLKIT', () => ({ complete: 1 }))
    const second = await connectedClient(daemon)
    expect(second.state.phase).toBe('connected')
    await second.close()
  })

  test.each([
    ['SASL', [1], 'SASL'],
    ['a refusal by polkit', [2], 'polkit refused'],
  ])('%s is reported as what it is', async (_what, types, text) => {
    daemon.handle('remote:AUTH_LIST', () => ({ types }))
    daemon.handle('remote:AUTH_POLKIT', (call) =>
      call.connection.send({
        ...call.packet,
        type: 1,
        status: 1,
        body: errorBody({ code: VIR_ERR.AUTH_FAILED, message: 'denied' }),
      }),
    )
    const why = Promise.withResolvers<string | undefined>()
    const refused = new LibvirtClient({ uri: 'qemu:///system', socketPath: daemon.socketPath, log: silentLogger })
    refused.onState((s) => s.phase === 'disconnected' && why.resolve(s.error?.message))
    expect(await why.promise).toContain(text)
    await refused.close()
  })
})
