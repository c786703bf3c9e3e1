import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_STORAGE_VOL_SPARSE_STREAM } from '../../../src/libvirt/constants.ts'
import { isHole, type StreamItem } from '../../../src/libvirt/stream.ts'
import type { RemoteNonnullStoragePool, RemoteNonnullStorageVol } from '../../../src/libvirt/wire/remote-types.gen.ts'
import { missingLibvirt } from '../require.ts'
import { liveClient } from './live.ts'

const MIB = 1024 * 1024

describe.skipIf(missingLibvirt() !== undefined)('streams on a volume of a real libvirtd', () => {
  let client: LibvirtClient
  let directory: string
  let pool: RemoteNonnullStoragePool
  let vol: RemoteNonnullStorageVol
  let count = 0

  beforeAll(async () => {
    client = await liveClient('qemu:///system')
    directory = await mkdtemp(join(tmpdir(), 'lqx-pool-'))
    const xml = `<pool type='dir'><name>${directory.split('/').at(-1)}</name><target><path>${directory}</path></target></pool>`
    pool = (await client.call('remote:STORAGE_POOL_CREATE_XML', { xml, flags: 0 })).pool
  })
  beforeEach(async () => {
    const xml = `<volume><name>v${count++}.raw</name><capacity>${64 * MIB}</capacity><allocation>0</allocation><target><format type='raw'/></target></volume>`
    vol = (await client.call('remote:STORAGE_VOL_CREATE_XML', { pool, xml, flags: 0 })).vol
  })
  afterAll(async () => {
    await client.call('remote:STORAGE_POOL_DESTROY', { pool })
    await client.close()
    await rm(directory, { recursive: true, force: true })
  })

  const upload = (source: Iterable<StreamItem>, flags = 0, length = 0n) =>
    client.upload('remote:STORAGE_VOL_UPLOAD', { vol, offset: 0n, length, flags }, source)
  const download = (flags = 0, length = 0n) =>
    client.download('remote:STORAGE_VOL_DOWNLOAD', { vol, offset: 0n, length, flags })

  test('what goes up comes down', async () => {
    const data = randomBytes(20 * MIB + 12_345)
    expect(await upload([data.subarray(0, 7), data.subarray(7)])).toBe(data.length)
    const hash = createHash('sha256')
    let bytes = 0
    for await (const item of download(0, BigInt(data.length))) {
      if (isHole(item)) throw new Error('no hole was asked for')
      hash.update(item)
      bytes += item.length
    }
    expect(bytes).toBe(data.length)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'))
  })

  test('holes are skipped both ways', async () => {
    const sparse = VIR_STORAGE_VOL_SPARSE_STREAM
    await upload(
      [
        Buffer.from('head'.repeat(1024)),
        { holeBytes: 32 * MIB - 4096 },
        Buffer.from('tail'.repeat(1024)),
        { holeBytes: 4 * MIB },
      ],
      sparse,
    )
    const { allocation } = await client.call('remote:STORAGE_VOL_GET_INFO', { vol })
    expect(allocation).toBeLessThan(BigInt(MIB))
    // An upload replaces the file, so it is as long as what was sent.
    const seen: [string, number][] = []
    for await (const item of download(sparse)) {
      seen.push(isHole(item) ? ['hole', item.holeBytes] : [Buffer.from(item.subarray(0, 4)).toString(), item.length])
    }
    expect(seen).toEqual([
      ['head', 4096],
      ['hole', 32 * MIB - 4096],
      ['tail', 4096],
      ['hole', 4 * MIB],
    ])
  })

  test('an upload beyond its length is an error of the stream', async () => {
    await expect(upload([Buffer.alloc(2 * MIB)], 0, BigInt(MIB))).rejects.toMatchObject({ name: 'LibvirtError' })
  })

  test('an aborted download leaves the client and the volume usable', async () => {
    await upload([Buffer.alloc(16 * MIB, 1)])
    for await (const item of download()) {
      expect(isHole(item)).toBe(false)
      break
    }
    expect((await client.call('remote:STORAGE_VOL_GET_INFO', { vol })).type).toBe(0)
    let bytes = 0
    for await (const item of download(0, BigInt(MIB))) bytes += isHole(item) ? 0 : item.length
    expect(bytes).toBe(MIB)
  })

  test('a missing volume is refused by the call', async () => {
    const missing = { ...vol, name: 'missing', key: '/missing' }
    await expect(
      client.openStream('remote:STORAGE_VOL_DOWNLOAD', { vol: missing, offset: 0n, length: 0n, flags: 0 }),
    ).rejects.toMatchObject({ name: 'LibvirtError' })
  })
})
