import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CHUNK_BYTES, DurableWriter } from '../../../src/images/durable-writer.ts'
import { rawDisk } from './image-server.ts'

const MIB = 1024 * 1024
const never = new AbortController().signal
// tmpfs has no O_DIRECT on many kernels, so both ways of writing are met.
const places = [tmpdir(), '/dev/shm']

describe.each(places)('DurableWriter in %s', (place) => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(path.join(place, 'lqx-writer-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  const open = (onHead: (head: Buffer) => void = () => undefined) =>
    DurableWriter.open(`${dir}/file`, { algorithms: ['sha256', 'sha512'], onHead })
  const digest = (name: string, bytes: Buffer) => createHash(name).update(bytes).digest('hex')

  it.each([0, 1, 4095, 4096, MIB - 1, MIB, MIB + 1, 11 * MIB + 17])('writes and hashes %i bytes', async (size) => {
    const content = rawDisk(size < 512 ? 512 : size).subarray(0, size)
    const writer = await open()
    for (let offset = 0; offset < size;) {
      const end = Math.min(size, offset + 300_001)
      const ready = Promise.withResolvers<void>()
      writer.onSpace = ready.resolve
      if (!writer.write(content.subarray(offset, end))) await ready.promise
      offset = end
    }
    const result = await writer.finish(never)
    await writer.close()
    expect(result).toEqual({
      bytes: size,
      digests: { sha256: digest('sha256', content), sha512: digest('sha512', content) },
    })
    expect(writer.bytesDurable).toBe(size)
    expect((await readFile(`${dir}/file`)).equals(content)).toBe(true)
    expect((await stat(`${dir}/file`)).mode & 0o777).toBe(0o644)
  })

  it('keeps order when it is given more than it can hold at once', async () => {
    const content = rawDisk(20 * MIB + 5)
    const writer = await open()
    expect(writer.write(content)).toBe(false)
    const { bytes, digests } = await writer.finish(never)
    await writer.close()
    expect(bytes).toBe(content.length)
    expect(digests.sha256).toBe(digest('sha256', content))
    expect((await readFile(`${dir}/file`)).equals(content)).toBe(true)
  })

  it.each([
    [1, 3 * MIB + 5],
    [4, 4 * MIB],
    [5, 40 * MIB + 17],
    [30, 31 * MIB],
  ])('goes on behind the %i MiB that a killed run left, whatever follows them in the file', async (mib, size) => {
    const content = rawDisk(size)
    const from = mib * MIB
    const durable: number[] = []
    await writeFile(`${dir}/file`, Buffer.concat([content.subarray(0, from), Buffer.alloc(5 * MIB, 0xee)]))
    const writer = await DurableWriter.open(`${dir}/file`, {
      algorithms: ['sha256'],
      onHead: () => expect.fail('the head was judged before'),
      from,
      onDurable: (bytes) => durable.push(bytes),
    })
    expect(writer.bytesAccepted).toBe(from)
    for (let offset = from; offset < size;) {
      const end = Math.min(size, offset + 700_001)
      const ready = Promise.withResolvers<void>()
      writer.onSpace = ready.resolve
      if (!writer.write(content.subarray(offset, end))) await ready.promise
      offset = end
    }
    expect(await writer.finish(never)).toEqual({ bytes: size, digests: { sha256: digest('sha256', content) } })
    await writer.close()
    expect((await readFile(`${dir}/file`)).equals(content)).toBe(true)
    expect(durable).toEqual(durable.toSorted((a, b) => a - b))
    for (const bytes of durable) expect(bytes % CHUNK_BYTES).toBe(0)
  })

  it('tells of nothing as durable that is not in the file', async () => {
    const content = rawDisk(24 * MIB)
    const seen: [told: number, size: number][] = []
    const writer = await DurableWriter.open(`${dir}/file`, {
      algorithms: ['sha256'],
      onHead: () => undefined,
      onDurable: (bytes) => seen.push([bytes, statSync(`${dir}/file`).size]),
    })
    writer.write(content)
    await writer.finish(never)
    await writer.close()
    expect(seen.length).toBeGreaterThan(1)
    for (const [told, size] of seen) expect(told).toBeLessThanOrEqual(size)
  })

  it('fails with what the judge of the head throws', async () => {
    const writer = await open((head) => {
      throw new Error(`bad head of ${head.length}`)
    })
    writer.write(rawDisk(2 * MIB))
    await expect(writer.failure).rejects.toThrow(`bad head of ${MIB}`)
    await writer.close()
  })

  it('never touches a file that is there', async () => {
    await writeFile(`${dir}/file`, 'precious')
    await expect(open()).rejects.toMatchObject({ reason: 'POOL_IO_ERROR' })
    expect(await readFile(`${dir}/file`, 'utf8')).toBe('precious')
  })
})
