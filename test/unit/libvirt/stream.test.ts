import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import type { Connection } from '../../../src/libvirt/connection.ts'
import { isHole, LibvirtStream, type StreamItem } from '../../../src/libvirt/stream.ts'
import { XdrWriter } from '../../../src/libvirt/xdr-writer.ts'
import { connectedClient, FakeDaemon, type Packet } from './fake-daemon.ts'

const DOWNLOAD = 'remote:STORAGE_VOL_DOWNLOAD'
const UPLOAD = 'remote:STORAGE_VOL_UPLOAD'
const args = { vol: { pool: 'p', name: 'v', key: 'k' }, offset: 0n, length: 0n, flags: 1 }

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

function hole(bytes: bigint): Buffer {
  const writer = new XdrWriter()
  writer.hyper(bytes)
  writer.uint(0)
  return Buffer.from(writer.written())
}

const text = (item: StreamItem) => (isHole(item) ? `hole ${item.holeBytes}` : Buffer.from(item).toString())
const NONE = Buffer.alloc(0)

/** Packets of the stream that the client sent after its call. */
async function sent(count: number): Promise<Packet[]> {
  const call = await daemon.until(() => daemon.calls.find((c) => c.name === UPLOAD || c.name === DOWNLOAD))
  return daemon.until(() => {
    const packets = call.connection.packets.filter((p) => p.serial === call.packet.serial && p.type !== 0)
    return packets.length >= count && packets
  })
}

describe('download', () => {
  test('yields data and holes in order; the end is answered with finish and confirmed', async () => {
    daemon.handle(DOWNLOAD, (call) => {
      call.reply({})
      call.stream(Buffer.from('abc'))
      call.stream(hole(5_000_000_000n), 2, 6)
      call.stream(Buffer.from('def'))
      call.stream(NONE)
      void sent(1).then(() => call.stream(NONE, 0))
      return undefined
    })
    const items: string[] = []
    for await (const item of client.download(DOWNLOAD, args)) items.push(text(item))
    expect(items).toEqual(['abc', 'hole 5000000000', 'def'])
    expect(await sent(1)).toMatchObject([{ type: 3, status: 0 }])
  })

  test('an error in the middle is thrown after the data before it', async () => {
    daemon.handle(DOWNLOAD, (call) => {
      call.reply({})
      call.stream(Buffer.from('abc'))
      call.fail({ code: VIR_ERR.SYSTEM_ERROR, message: 'Input/output error' }, 3)
      return undefined
    })
    const items: string[] = []
    const read = async () => {
      for await (const item of client.download(DOWNLOAD, args)) items.push(text(item))
    }
    await expect(read()).rejects.toMatchObject({ name: 'LibvirtError', message: 'Input/output error' })
  })

  test.each([
    ['as a reply', 1],
    ['as a stream packet', 3],
  ])('a refusal %s is thrown by the call, and its connection is closed', async (_how, type) => {
    daemon.handle(DOWNLOAD, (call) => call.fail({ code: VIR_ERR.NO_STORAGE_VOL, message: 'no such volume' }, type))
    const abort = new AbortController()
    const opening = client.openStream(DOWNLOAD, args, { signal: abort.signal })
    await expect(opening).rejects.toMatchObject({ code: VIR_ERR.NO_STORAGE_VOL })
    // A caller that keeps one signal for life must not gather listeners.
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
    await daemon.until(() => daemon.calls.find((c) => c.name === DOWNLOAD)?.connection.closed)
  })

  test('leaving the loop aborts the transfer and closes its connection', async () => {
    daemon.handle(DOWNLOAD, (call) => {
      call.reply({})
      call.stream(Buffer.from('abc'))
      void sent(1).then(() => call.fail({ code: VIR_ERR.RPC, message: 'stream aborted at client request' }, 3))
      return undefined
    })
    for await (const item of client.download(DOWNLOAD, args)) {
      expect(text(item)).toBe('abc')
      break
    }
    expect(await sent(1)).toMatchObject([{ type: 3, status: 1 }])
    await daemon.until(() => daemon.calls.find((c) => c.name === DOWNLOAD)?.connection.closed)
  })

  test('a signal ends it with its own reason', async () => {
    daemon.handle(DOWNLOAD, () => ({}))
    const abort = new AbortController()
    const stream = await client.openStream(DOWNLOAD, args, { signal: abort.signal })
    const read = stream.read()
    abort.abort(new Error('enough'))
    await expect(read).rejects.toThrow('enough')
    await daemon.until(() => daemon.calls.find((c) => c.name === DOWNLOAD)?.connection.closed)
  })

  test('silence beyond the idle time ends it', async () => {
    daemon.handle(DOWNLOAD, () => ({}))
    const stream = await client.openStream(DOWNLOAD, args, { idleTimeoutMs: 20 })
    await expect(stream.read()).rejects.toMatchObject({ name: 'LibvirtTimeout' })
  })

  test('a reader that does not read holds the daemon back', async () => {
    const chunk = Buffer.alloc(256 * 1024)
    let written = 0
    daemon.handle(DOWNLOAD, (call) => {
      call.reply({})
      // Until the socket refuses: what is then written is bounded by the client's buffer and the kernel's.
      while (written < 64 && !call.connection.socket.writableNeedDrain) {
        call.stream(chunk)
        written++
      }
      const more = () => {
        while (written < 64 && !call.connection.socket.writableNeedDrain) {
          call.stream(chunk)
          written++
        }
        if (written === 64) {
          call.connection.socket.off('drain', more)
          call.stream(NONE)
        }
      }
      call.connection.socket.on('drain', more)
      void sent(1).then(() => call.stream(NONE, 0))
      return undefined
    })
    const stream = await client.openStream(DOWNLOAD, args)
    await stream.read()
    for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate)
    expect(written).toBeLessThan(60)
    let bytes = chunk.length
    for await (const item of stream) bytes += isHole(item) ? 0 : item.length
    expect(bytes).toBe(64 * chunk.length)
  })

  test('a console that comes byte by byte is held back before its pieces fill the memory', async () => {
    const stream = new LibvirtStream('console', { idleTimeoutMs: undefined, signal: undefined })
    const told: string[] = []
    const connection = { closed: false, pause: () => told.push('pause'), resume: () => told.push('resume') }
    stream.bind(connection as unknown as Connection, 1)
    for (let n = 0; n < 20_000; n++) stream.onData(Buffer.from('x'))
    expect(told).toEqual(['pause'])
    for (let n = 0; n < 20_000; n++) await stream.read()
    expect(told).toEqual(['pause', 'resume'])
  })

  test('a connection that breaks in the middle is LibvirtGone, not the end of the data', async () => {
    daemon.handle(DOWNLOAD, (call) => {
      call.reply({})
      call.stream(Buffer.from('abc'))
      call.connection.socket.end()
      return undefined
    })
    const stream = await client.openStream(DOWNLOAD, args)
    expect(text((await stream.read())!)).toBe('abc')
    await expect(stream.read()).rejects.toMatchObject({ name: 'LibvirtGone', outcomeUnknown: true })
  })
})

describe('upload', () => {
  test('sends packets of at most 262120 bytes and holes, then finish, and waits for the confirmation', async () => {
    daemon.handle(UPLOAD, (call) => {
      void sent(5).then(() => call.stream(NONE, 0))
      return {}
    })
    const bytes = await client.upload(UPLOAD, args, [Buffer.alloc(600_000, 1), { holeBytes: 4096 }])
    expect(bytes).toBe(604_096)
    const packets = await sent(5)
    expect(packets.map((p) => [p.type, p.status, p.body.length])).toEqual([
      [3, 2, 262_120],
      [3, 2, 262_120],
      [3, 2, 75_760],
      [6, 2, 12],
      [3, 0, 0],
    ])
    expect(packets[3]?.body).toEqual(hole(4096n))
  })

  test('an error that comes with the confirmation fails the upload', async () => {
    daemon.handle(UPLOAD, (call) => {
      void sent(2).then(() =>
        call.fail({ code: VIR_ERR.SYSTEM_ERROR, message: 'No space left on device', int1: 28 }, 3),
      )
      return {}
    })
    await expect(client.upload(UPLOAD, args, [Buffer.from('x')])).rejects.toMatchObject({ int1: 28 })
  })

  test('a source that fails aborts it', async () => {
    daemon.handle(UPLOAD, (call) => {
      void sent(2).then(() => call.stream(NONE, 0))
      return {}
    })
    function* broken() {
      yield Buffer.from('x')
      throw new Error('the file went away')
    }
    await expect(client.upload(UPLOAD, args, broken())).rejects.toThrow('the file went away')
    expect((await sent(2))[1]).toMatchObject({ type: 3, status: 1 })
  })

  test('closing the client ends it', async () => {
    daemon.handle(UPLOAD, () => ({}))
    const stream = await client.openStream(UPLOAD, args)
    const finishing = stream.finish().catch((error: unknown) => error)
    await sent(1)
    await client.close()
    expect(await finishing).toMatchObject({ name: 'LibvirtGone' })
  })
})
