import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeOut } from '../../../../src/images/unwrap/unwrap.ts'
import type { ByteMemory, ByteStream } from '../../../../src/platform/byte-stream.ts'

const PIECE_BYTES = 4096

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-take-out-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function* pieces(count: number): AsyncGenerator<Buffer> {
  for (let index = 0; index < count; index++) yield Buffer.alloc(PIECE_BYTES, index + 1)
}

/** Writes into the memory itself, whenever there is space; `sizes` has what was written so far, each time. */
function pouring(count: number, sizes: number[] = []): ByteStream {
  const put = async (memory: ByteMemory, signal: AbortSignal) => {
    for (let index = 0; index < count; index++) {
      signal.throwIfAborted()
      while (memory.space() === undefined) await new Promise<void>((resolve) => (memory.onSpace = resolve))
      memory.space()?.fill(index + 1, 0, PIECE_BYTES)
      memory.advance(PIECE_BYTES)
      sizes.push((index + 1) * PIECE_BYTES)
    }
  }
  return { [Symbol.asyncIterator]: () => pieces(count), pour: put }
}

const WAYS: readonly [string, (count: number, sizes?: number[]) => ByteStream][] = [
  ['yields', pieces],
  ['pours', pouring],
]

function take(bytes: ByteStream, room: (unpacked: number) => Promise<void> | undefined) {
  const request = {
    to: path.join(directory, 'image'),
    algorithms: ['sha256'] as const,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  }
  return takeOut(() => Promise.resolve({ layers: [], bytes }), request, room)
}

test.each(WAYS)('what a source %s is in the file, in order', async (_, bytesOf) => {
  expect(await take(bytesOf(3), () => undefined)).toMatchObject({ bytes: 3 * PIECE_BYTES })
  const written = await readFile(path.join(directory, 'image'))
  expect([...new Set(written)]).toEqual([1, 2, 3])
})

test.each(WAYS)('what a source %s last is refused, however late that is told', async (_, bytesOf) => {
  const room = async (unpacked: number) => {
    for (let turns = 0; turns < 20; turns++) await turn()
    if (unpacked === 3 * PIECE_BYTES) throw new Error('too much')
  }
  await expect(take(bytesOf(3), room)).rejects.toThrow('too much')
})

test.each(WAYS)('what a source %s without an end is refused at once', async (_, bytesOf) => {
  const room = () => {
    throw new Error('too much')
  }
  await expect(take(bytesOf(Infinity), room)).rejects.toThrow('too much')
})

test('a source that pours has no space while it is to wait', async () => {
  const sizes: number[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const work = take(pouring(3, sizes), (unpacked) => (unpacked === 2 * PIECE_BYTES ? promise : undefined))
  await expect.poll(() => sizes.length).toBe(2)
  for (let turns = 0; turns < 20; turns++) await turn()
  expect(sizes).toHaveLength(2)
  resolve()
  expect(await work).toMatchObject({ bytes: 3 * PIECE_BYTES })
})
