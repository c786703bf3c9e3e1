import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { ByteRing } from '../../../src/platform/byte-ring.ts'
import type { ByteMemory } from '../../../src/platform/byte-stream.ts'

/** A socket that always has bytes, as the kernel gives them: into the memory that was asked for after the read before. */
function source(ring: ByteRing, bytes: Buffer, atOnce: (left: number) => number) {
  let sent = 0
  let space = ring.space()
  const pump = () => {
    for (let more = true; more && sent < bytes.length;) {
      const count = Math.min(space.length, atOnce(bytes.length - sent), bytes.length - sent)
      bytes.copy(space, 0, sent, sent + count)
      sent += count
      more = ring.arrived(count)
      space = ring.space()
      expect(space.length).toBeGreaterThan(0)
    }
    if (sent === bytes.length) ring.end()
  }
  ring.onSpace = pump
  return { pump, sent: () => sent }
}

test.each([1, 7, 300, 1024])('every byte comes once and in order, read by up to %d', async (most) => {
  const bytes = randomBytes(20_001)
  const ring = new ByteRing(4096, 1024)
  let turn = 0
  source(ring, bytes, () => 1 + ((turn++ * 37) % most)).pump()
  const hash = createHash('sha256')
  for await (const piece of ring) {
    hash.update(piece)
    if (turn % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'))
})

test('a piece stays what it is until the next one is asked for, and who reads is told to wait meanwhile', async () => {
  const bytes = randomBytes(20_000)
  const ring = new ByteRing(4096, 1024)
  const { pump, sent } = source(ring, bytes, () => 1000)
  pump()
  const iterator = ring[Symbol.asyncIterator]()
  const { value } = (await iterator.next()) as { value: Buffer }
  const before = sent()
  expect(before).toBeLessThanOrEqual(4096)
  ring.onSpace = () => expect.unreachable('nothing was given back')
  expect(value.equals(bytes.subarray(0, value.length))).toBe(true)
  ring.onSpace = pump
  await iterator.next()
  expect(sent()).toBeGreaterThan(before)
})

test('what arrived before a fault is taken first', async () => {
  const ring = new ByteRing(4096, 1024)
  ring.space().set(Buffer.from('last words'))
  ring.arrived(10)
  ring.end(new Error('reset'))
  const iterator = ring[Symbol.asyncIterator]()
  expect(String((await iterator.next()).value)).toBe('last words')
  await expect(iterator.next()).rejects.toThrow('reset')
})

/** Memory of 512 bytes that is emptied by hand. */
class SlowMemory implements ByteMemory {
  onSpace: (() => void) | undefined
  readonly seen: Buffer[] = []
  readonly #memory = Buffer.alloc(512)
  #filled = 0

  space(): Uint8Array | undefined {
    return this.#filled === this.#memory.length ? undefined : this.#memory.subarray(this.#filled)
  }

  advance(bytes: number): void {
    this.#filled += bytes
  }

  /** True when there was something. */
  empty(): boolean {
    const { seen } = this
    seen.push(Buffer.from(this.#memory.subarray(0, this.#filled)))
    this.#filled = 0
    this.onSpace?.()
    return (seen.at(-1)?.length ?? 0) > 0
  }
}

test.each([1, 7, 300, 1024])(
  'after a look at the first pieces every other byte goes into the memory of somebody else, as it gets space, read by up to %d',
  async (most) => {
    const bytes = randomBytes(20_001)
    const ring = new ByteRing(4096, 1024)
    let turn = 0
    const { pump } = source(ring, bytes, () => 1 + ((turn++ * 37) % most))
    pump()
    const iterator = ring[Symbol.asyncIterator]()
    const first = Buffer.from(((await iterator.next()) as { value: Buffer }).value)
    const memory = new SlowMemory()
    ring.divert(memory)
    const end = iterator.next()
    let ended = false
    void end.then(() => (ended = true))
    while (!ended) {
      memory.empty()
      await new Promise((resolve) => setImmediate(resolve))
    }
    memory.empty()
    expect(await end).toMatchObject({ done: true })
    expect(Buffer.concat([first, ...memory.seen]).equals(bytes)).toBe(true)
  },
)

test('who reads is given the memory of somebody else itself, once nothing is left in the ring', () => {
  const ring = new ByteRing(4096, 1024)
  ring.space().set(Buffer.from('head'))
  ring.arrived(4)
  const memory = new SlowMemory()
  ring.divert(memory)
  void ring[Symbol.asyncIterator]().next()
  const space = ring.space()
  space.set(Buffer.from('body'))
  expect(ring.arrived(4)).toBe(true)
  expect(space.buffer).toBe(memory.space()?.buffer)
  memory.empty()
  expect(String(memory.seen[0])).toBe('headbody')
})

test('what waits for space is given up with the ring', async () => {
  const ring = new ByteRing(4096, 1024)
  ring.space().fill(1)
  ring.arrived(1024)
  ring.divert({ space: () => undefined, advance: () => undefined, onSpace: undefined })
  const end = ring[Symbol.asyncIterator]().next()
  ring.drop()
  expect(await end).toMatchObject({ done: true })
})

test('nothing more is taken from a ring that was dropped, whoever looks at a piece of it', async () => {
  const ring = new ByteRing(4096, 1024)
  source(ring, randomBytes(20_000), () => 1000).pump()
  const pieces = []
  for await (const piece of ring) {
    pieces.push(piece)
    ring.drop()
  }
  expect(pieces).toHaveLength(1)
})
