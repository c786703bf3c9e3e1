import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { GrowingFile } from '../../../src/images/growing-file.ts'

const MIB = 1024 * 1024
const never = new AbortController().signal

async function someFile(bytes: Buffer) {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-growing-'))
  const handle = await open(path.join(directory, 'file'), 'w+')
  await handle.write(bytes, 0, bytes.length, 0)
  onTestFinished(async () => {
    await handle.close()
    await rm(directory, { recursive: true })
  })
  return handle
}

test('a reader gets every byte once and in order, however the file grows, and never one that is not there yet', async () => {
  const bytes = randomBytes(7 * MIB + 4321)
  const handle = await someFile(bytes)
  const file = new GrowingFile()
  const hash = createHash('sha256')
  let seen = 0
  const reading = (async () => {
    for await (const piece of file.read(handle, never)) {
      seen += piece.length
      expect(seen).toBeLessThanOrEqual(file.bytes)
      hash.update(piece)
    }
  })()
  for (const grown of [1, 2, 5, 6, 7]) {
    file.grown(grown * MIB)
    await new Promise((resolve) => setImmediate(resolve))
  }
  file.grown(bytes.length)
  file.end()
  await reading
  expect(file.taken).toBe(bytes.length)
  expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'))
})

test('who has looked at the beginning alone reads it again', async () => {
  const handle = await someFile(Buffer.alloc(MIB, 7))
  const file = new GrowingFile()
  file.grown(MIB)
  file.end()
  for await (const piece of file.read(handle, never)) {
    expect(piece[0]).toBe(7)
    break
  }
  let seen = 0
  for await (const piece of file.read(handle, never)) seen += piece.length
  expect([seen, file.taken]).toEqual([MIB, MIB])
})

test('a file that is shorter than what was written is an error of the disk', async () => {
  const handle = await someFile(Buffer.alloc(MIB))
  const file = new GrowingFile()
  file.grown(2 * MIB)
  const reading = (async () => {
    for await (const _ of file.read(handle, never)) void _
  })()
  await expect(reading).rejects.toMatchObject({ code: 'EIO' })
})

test('a reader that waits for more is woken by the end, and by a caller that gives up', async () => {
  const handle = await someFile(Buffer.alloc(0))
  const file = new GrowingFile()
  const gone = new AbortController()
  const given = file.more(0, gone.signal)
  gone.abort(new Error('not wanted any more'))
  await expect(given).rejects.toThrow('not wanted any more')
  const first = file.read(handle, never).next()
  file.end()
  expect(await first).toMatchObject({ done: true })
})
