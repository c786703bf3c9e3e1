import { mkdtemp, open, readdir, rm, writeFile, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { imageLeases, type LeaseFacts } from '../../../src/images/lease/lease-file.ts'

let attempts = 0
const takeLease = (directory: FileHandle, file: string, after: number, of: LeaseFacts) =>
  imageLeases.take(directory, file, after, of, `.lqx-${of.jobId}-${attempts++}.lqxtmp`)

const facts = (holder: string, counter = 0) => {
  return { holder, jobId: `job-${holder}`, counter, phase: 'downloading', bytesDone: 5, bytesTotal: 10 }
}
const FILE = 'debian-12.qcow2'

describe('a lease file', () => {
  let dir: string
  let directory: FileHandle
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-lease-'))
    directory = await open(dir)
  })
  afterEach(async () => {
    await directory.close()
    await rm(dir, { recursive: true })
  })

  it('is taken by one of many that try', async () => {
    expect(await imageLeases.read(directory, FILE)).toBeUndefined()
    const hosts = Array.from({ length: 20 }, (_, n) => `host-${n}`)
    const taken = await Promise.all(hosts.map((host) => takeLease(directory, FILE, 0, facts(host))))
    expect(taken.filter(Boolean)).toHaveLength(1)
    const winner = hosts[taken.indexOf(true)] ?? ''
    expect(await imageLeases.read(directory, FILE)).toMatchObject({ token: 1, facts: facts(winner) })
    expect(await readdir(dir)).toEqual([`.${FILE}.lqx-lease-1`])
  })

  it('lives as long as its counter moves, and is void once the next token is taken', async () => {
    await takeLease(directory, FILE, 0, facts('a'))
    expect(await imageLeases.beat(directory, FILE, 1, facts('a', 7))).toBe(true)
    expect((await imageLeases.read(directory, FILE))?.facts?.counter).toBe(7)
    await imageLeases.confirm(directory, FILE, 1)
    expect(await takeLease(directory, FILE, 1, facts('b'))).toBe(true)
    expect(await imageLeases.beat(directory, FILE, 1, facts('a', 8))).toBe(false)
    await expect(imageLeases.confirm(directory, FILE, 1)).rejects.toMatchObject({ reason: 'LEASE_LOST' })
    await imageLeases.confirm(directory, FILE, 2)
    // What the old holder gives back is not the lease of the new one.
    await imageLeases.release(directory, FILE, 1)
    expect(await imageLeases.read(directory, FILE)).toMatchObject({ token: 2, facts: { holder: 'b' } })
  })

  it('is void as soon as somebody has the next one, even if its own file is still there', async () => {
    await takeLease(directory, FILE, 0, facts('a'))
    await writeFile(path.join(dir, `.${FILE}.lqx-lease-2`), JSON.stringify(facts('b')))
    await expect(imageLeases.confirm(directory, FILE, 1)).rejects.toMatchObject({ reason: 'LEASE_LOST' })
    expect(await imageLeases.read(directory, FILE)).toMatchObject({ token: 2 })
  })

  it('that nobody can read is a lease all the same', async () => {
    await writeFile(path.join(dir, `.${FILE}.lqx-lease-4`), 'half a li')
    expect(await imageLeases.read(directory, FILE)).toEqual({ token: 4, facts: undefined })
    expect(await takeLease(directory, FILE, 0, facts('a'))).toBe(true)
    expect(await imageLeases.read(directory, FILE)).toMatchObject({ token: 4 })
    expect(await takeLease(directory, FILE, 4, facts('b'))).toBe(true)
    expect(await readdir(dir)).toEqual([`.${FILE}.lqx-lease-5`])
  })

  it('of another image is another lease', async () => {
    await takeLease(directory, FILE, 0, facts('a'))
    expect(await imageLeases.read(directory, 'debian-12.qcow2.img')).toBeUndefined()
    expect(await imageLeases.read(directory, 'debian')).toBeUndefined()
  })
})
