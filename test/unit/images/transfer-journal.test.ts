import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TransferJournal, type JournalEntry } from '../../../src/images/transfer-journal.ts'

let dir: string
let file: string
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-journal-'))
  file = `${dir}/journal`
})
afterEach(() => rm(dir, { recursive: true }))

const entry = (durable: number): JournalEntry => ({
  version: 1,
  content: {
    source: 0,
    location: 'https://a.example/x?token=t',
    finalUrl: 'https://a.example/x',
    totalLength: 9,
    validators: {},
  },
  durable,
  inode: 7,
})
const reopened = async () => {
  const { journal, entry: found } = await TransferJournal.open(file)
  await journal.close()
  return found
}
const written = async (...entries: JournalEntry[]) => {
  const { journal } = await TransferJournal.open(file)
  for (const each of entries) await journal.note(each)
  await journal.close()
}

describe('TransferJournal', () => {
  it('has nothing to tell when it is new, and is for root alone', async () => {
    expect(await reopened()).toBeUndefined()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  it('tells the last entry, in this run and the next ones', async () => {
    await written(entry(1), entry(2))
    expect(await reopened()).toEqual(entry(2))
    await written(entry(3))
    await written(entry(4))
    expect(await reopened()).toEqual(entry(4))
  })

  it('keeps the latest of entries that come faster than they are written', async () => {
    const { journal } = await TransferJournal.open(file)
    await Promise.all([1, 2, 3, 4, 5].map((durable) => journal.note(entry(durable))))
    await journal.close()
    expect(await reopened()).toEqual(entry(5))
  })

  it('falls back to the entry before when a write was torn at any place', async () => {
    await written(entry(1), entry(2))
    const whole = await readFile(file)
    const slots = [whole.subarray(0, whole.length / 2), whole.subarray(whole.length / 2)]
    for (const [index, slot] of slots.entries()) {
      const line = slot.indexOf('\n')
      const others = JSON.stringify(entry(slots[1 - index]?.includes('"durable":2') === true ? 2 : 1))
      for (let at = 0; at <= line; at += 13) {
        const torn = Buffer.from(whole)
        torn.fill(0, index * slot.length + at, index * slot.length + line + 1)
        await writeFile(file, torn)
        expect(JSON.stringify(await reopened())).toBe(others)
      }
    }
  })

  it('has nothing to tell when both are torn, or after a reset', async () => {
    await written(entry(1), entry(2))
    const handle = await open(file, 'r+')
    await handle.truncate(20)
    await handle.close()
    expect(await reopened()).toBeUndefined()
    await written(entry(3))
    const { journal } = await TransferJournal.open(file)
    await journal.reset()
    await journal.close()
    expect(await reopened()).toBeUndefined()
  })
})
