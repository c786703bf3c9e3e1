import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-state-'))
})
afterEach(async () => {
  await rm(dir, { recursive: true })
})

const open = () => openStateStore(dir, silentLogger).collection<{ n: number }>('things')

describe('StateStore', () => {
  it('gives back after a restart what was put, in key order', async () => {
    await open().put('b', { n: 2 })
    await open().put('a', { n: 1 })
    await open().put('a', { n: 3 })
    expect(await open().entries()).toEqual([
      ['a', { n: 3 }],
      ['b', { n: 2 }],
    ])
  })

  it('treats a second delete as success', async () => {
    const things = open()
    await things.put('a', { n: 1 })
    await things.delete('a')
    await things.delete('a')
    expect(await things.get('a')).toBeUndefined()
  })

  it('keeps keys with awkward characters apart and inside the directory', async () => {
    const things = open()
    await things.put('../x', { n: 1 })
    await things.put('a/b', { n: 2 })
    expect((await things.entries()).map(([key]) => key).sort()).toEqual(['../x', 'a/b'])
    expect(await readdir(dir)).toEqual(['things'])
  })

  it('sets an unreadable file aside instead of failing or losing it', async () => {
    await open().put('good', { n: 1 })
    await writeFile(path.join(dir, 'things', 'bad.json'), '{"n":')
    expect(await open().entries()).toEqual([['good', { n: 1 }]])
    expect((await readdir(path.join(dir, 'things'))).sort()).toEqual(['bad.json.corrupt', 'good.json'])
  })

  it('passes over files that are not its own', async () => {
    await open().put('mine', { n: 1 })
    await writeFile(path.join(dir, 'things', '%zz.json'), '{"n":2}')
    await writeFile(path.join(dir, 'things', 'README'), 'hello')
    expect(await open().entries()).toEqual([['mine', { n: 1 }]])
  })

  it('ends with the last of many concurrent writes', async () => {
    const things = open()
    await Promise.all(Array.from({ length: 50 }, (_, n) => things.put('a', { n })))
    expect(await things.get('a')).toEqual({ n: 49 })
  })

  it('says that it cannot write, and writes again as soon as it can', async () => {
    const things = open()
    await writeFile(path.join(dir, 'things'), 'a file where the directory belongs')
    await expect(things.put('a', { n: 1 })).rejects.toMatchObject({ reason: 'STATE_NOT_WRITABLE' })
    await rm(path.join(dir, 'things'))
    await things.put('a', { n: 2 })
    expect(await things.get('a')).toEqual({ n: 2 })
  })
})
