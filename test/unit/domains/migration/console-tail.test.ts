import { appendFile, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MIB } from '../../../../src/core/bytes.ts'
import { appendConsoleTail, readConsoleTail } from '../../../../src/domains/migration/console-tail.ts'
import { context } from './fake-calls.ts'

describe('what a guest prints while it moves', () => {
  let source = ''
  let target = ''
  beforeEach(async () => {
    source = await mkdtemp(path.join(tmpdir(), 'lqx-console-'))
    target = await mkdtemp(path.join(tmpdir(), 'lqx-console-'))
    await writeFile(path.join(source, 'console.log'), 'before\n')
    await writeFile(path.join(target, 'console.log'), 'before\n')
  })
  afterEach(async () => {
    for (const directory of [source, target]) await rm(directory, { recursive: true })
  })
  const mark = async () => {
    const { ino, size } = await stat(path.join(source, 'console.log'))
    return { inode: ino, size }
  }
  const moved = async (from: Awaited<ReturnType<typeof mark>>) => {
    const tail = await readConsoleTail(source, from, context())
    if (tail !== undefined) await appendConsoleTail(target, tail, context())
    return readFile(path.join(target, 'console.log'), 'utf8')
  }

  test('is appended', async () => {
    const from = await mark()
    expect(await moved(from)).toBe('before\n')
    await appendFile(path.join(source, 'console.log'), 'on the way\n')
    expect(await moved(from)).toBe('before\non the way\n')
  })

  test('is read from both files when virtlogd has begun a new one', async () => {
    const from = await mark()
    await appendFile(path.join(source, 'console.log'), 'one\n')
    await rename(path.join(source, 'console.log'), path.join(source, 'console.log.0'))
    await writeFile(path.join(source, 'console.log'), 'two\n')
    expect(await moved(from)).toBe('before\none\ntwo\n')
  })

  test('is kept to its end, and says so, when it is too much', async () => {
    const from = await mark()
    await appendFile(path.join(source, 'console.log'), `${'x'.repeat(7)}${'y'.repeat(MIB)}`)
    const log = await moved(from)
    const told = 'before\n\r\n[7 bytes that the guest printed during its migration are not kept]\r\n'
    expect(log.slice(0, told.length)).toBe(told)
    expect([log.length - told.length, log.includes('x'), log.at(-1)]).toEqual([MIB, false, 'y'])
  })

  test('is left out when there is no log any more', async () => {
    const from = await mark()
    await rm(path.join(source, 'console.log'))
    expect(await moved(from)).toBe('before\n')
  })
})
