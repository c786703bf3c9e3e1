import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { transferImage, type TransferRequest } from '../../../src/images/image-fetch.ts'
import { ImageSource } from '../../../src/images/image-source.ts'
import { TokenBucket } from '../../../src/images/paced-sink.ts'
import { madeContent, startOrigin, type Answer, type Origin } from '../../host/images/origin.ts'

const MIB = 1024 * 1024
const content = madeContent(24 * MIB)
const other = madeContent(24 * MIB, 2)
const limits = { timeout: 30_000 }
const silentAt = (bytes: number): Answer => ({ stopAt: { bytes, by: 'silence' } })

describe('transferImage', () => {
  let directory: string
  let origin: Origin
  let hangUp: AbortController

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-fetch-'))
    origin = await startOrigin(content)
    hangUp = new AbortController()
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await origin[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })

  const sourceOf = (connections: number) =>
    new ImageSource(
      {
        urls: [origin.url],
        proven: false,
        patienceMs: 60_000,
        connections,
        fetch: {
          allowPrivateAddresses: true,
          allowDowngrade: false,
          connectTimeoutMs: 10_000,
          headersTimeoutMs: 60_000,
        },
      },
      () => undefined,
    )
  const transfer = async (source: ImageSource, change: Partial<TransferRequest>) =>
    transferImage(source, await source.open(0, hangUp.signal), {
      file: `${directory}/disk.img`,
      expected: [],
      algorithms: ['sha256'],
      stallTimeoutMs: 60_000,
      signal: hangUp.signal,
      bucket: new TokenBucket(),
      onEvent: () => undefined,
      onHead: () => undefined,
      onWritten: () => undefined,
      onDurable: () => undefined,
      onBeginAgain: () => Promise.resolve(),
      ...change,
    })

  it('never tells of fewer bytes than before, though what waited in memory is fetched again', async () => {
    const told: number[] = []
    // What the first two connections bring stays behind when the third one is lied to.
    const lie = async (respond: () => void) => {
      await expect.poll(() => Math.max(...told), limits).toBe(3 * MIB)
      respond()
    }
    origin.answer(
      silentAt(MIB),
      silentAt(2 * MIB),
      { raw: (response) => void lie(() => response.writeHead(206, { 'content-range': 'bytes 0-1/2' }).end('xx')) },
      { bytesPerSecond: 16 * MIB },
    )
    const { bytes, digests } = await transfer(sourceOf(3), { onEvent: ({ bytesReceived }) => told.push(bytesReceived) })
    expect({ bytes, sha256: digests.sha256 }).toEqual({ bytes: content.bytes, sha256: content.sha256 })
    expect(told).toEqual(told.toSorted((a, b) => a - b))
  })

  it('does not call durable what an abandoned file syncs after the content has changed', async () => {
    const synced = Promise.withResolvers<void>()
    const began: number[] = []
    const durable: number[] = []
    const probe = await open(`${directory}/probe`, 'w')
    const handles = Object.getPrototypeOf(probe) as typeof probe
    await probe.close()
    const datasync = handles.datasync
    const held: Promise<void>[] = []
    vi.spyOn(handles, 'datasync').mockImplementation(function (this: typeof probe) {
      const done = datasync.call(this).then(() => synced.promise)
      held.push(done)
      return done
    })
    const source = sourceOf(1)
    origin.answer({ stopAt: { bytes: 7 * MIB, by: 'close' } }, { content: other, ...silentAt(MIB) })
    const work = transfer(source, {
      onBeginAgain: () => Promise.resolve(void began.push(durable.length)),
      onDurable: (bytes) => durable.push(bytes),
    })
    work.catch(() => undefined)
    await expect.poll(() => began, limits).toEqual([0, 0])
    expect(held).not.toEqual([])
    synced.resolve()
    await Promise.all(held)
    await turn()
    expect(durable).toEqual([])
    hangUp.abort(new Error('enough'))
    await expect(work).rejects.toThrow('enough')
  })
})
