import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { ByteRing } from '../../../src/platform/byte-ring.ts'

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
  ring.space().write('last words')
  ring.arrived(10)
  ring.end(new Error('reset'))
  const iterator = ring[Symbol.asyncIterator]()
  expect(String((await iterator.next()).value)).toBe('last words')
  await expect(iterator.next()).rejects.toThrow('reset')
})
