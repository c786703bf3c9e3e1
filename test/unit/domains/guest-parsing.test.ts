import { mkdtemp, rm, symlink, utimes, writeFile, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseLoadavg, parseMeminfo } from '../../../src/domains/guest-facts.ts'
import { parseListing } from '../../../src/domains/guest-files.ts'
import { lastLines, readQemuLog } from '../../../src/domains/qemu-log.ts'

describe('a listing of a directory in a guest', () => {
  const line = (name: string, mode = '81a4') => `${mode} 5 1700000000 root wheel /etc/${name}\n`

  test('tells kinds, sizes, times and owners, by name', () => {
    expect(parseListing(line('b') + line('a', '41ed') + line('c', 'a1ff'), '/etc/', false)).toEqual([
      expect.objectContaining({ name: 'a', isDirectory: true, isSymlink: false, mode: 0o40755 }),
      {
        name: 'b',
        path: '/etc/b',
        isDirectory: false,
        isSymlink: false,
        sizeBytes: 5,
        mode: 0o100644,
        modifiedAt: 1_700_000_000_000,
        owner: 'root',
        group: 'wheel',
      },
      expect.objectContaining({ name: 'c', isDirectory: false, isSymlink: true }),
    ])
  })

  test('names may have spaces and line feeds', () => {
    const entries = parseListing(line('two words') + line('a\nb'), '/etc/', false)
    expect(entries.map(({ name, path }) => [name, path])).toEqual([
      ['a\nb', '/etc/a\nb'],
      ['two words', '/etc/two words'],
    ])
  })

  test('what was cut off is left out; other text is no entry', () => {
    expect(parseListing(line('a') + line('b') + '81a4 5 17', '/etc/', true).map(({ name }) => name)).toEqual(['a'])
    expect(parseListing('garbage\n', '/etc/', false)).toEqual([])
    expect(parseListing('', '/etc/', false)).toEqual([])
  })

  test('a time that is none is left out', () => {
    expect(parseListing('81a4 5 999999999999999 a b /etc/x\n', '/etc/', false)[0]).not.toHaveProperty('modifiedAt')
  })
})

describe('numbers of a Linux guest', () => {
  const meminfo = 'MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  600 kB\nSwapTotal:  10 kB\nSwapFree:  4 kB\n'

  test('memory', () => {
    expect(parseMeminfo(meminfo)).toEqual({
      memoryTotalBytes: 1_024_000,
      memoryUsedBytes: 409_600,
      memoryAvailableBytes: 614_400,
      swapTotalBytes: 10_240,
      swapUsedBytes: 6_144,
    })
  })

  test.each([undefined, '', 'MemTotal: x kB', meminfo.replace('600', '6000'), meminfo.replace('SwapFree', 'Other')])(
    'what does not add up is not told: %o',
    (text) => expect(parseMeminfo(text)).toBeUndefined(),
  )

  test('load', () => {
    expect(parseLoadavg('0.50 0.25 0.10 2/345 6789\n')).toEqual({
      loadAvg1: 0.5,
      loadAvg5: 0.25,
      loadAvg15: 0.1,
      processCount: 345,
    })
    expect(parseLoadavg('nonsense')).toBeUndefined()
  })
})

describe("QEMU's log", () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-log-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  test.each<[string, boolean, number, string, number, boolean]>([
    ['', false, 10, '', 0, false],
    ['a\nb\nc\n', false, 2, 'b\nc\n', 2, true],
    ['a\nb\nc\n', false, 3, 'a\nb\nc\n', 3, false],
    ['a\nb', false, 5, 'a\nb', 2, false],
    ['rest\nb\n', true, 5, 'b\n', 1, true],
  ])('the end of %j (cut: %s), %i lines', (text, cut, count, tail, lines, truncated) => {
    expect(lastLines(text, cut, count)).toEqual({ text: tail, lines, truncated })
  })

  test('is read from its end, with size and time', async () => {
    const file = path.join(directory, 'web.log')
    await writeFile(file, 'x'.repeat(3 * 1024 * 1024) + '\none\ntwo\n')
    await utimes(file, 1_700_000_000, 1_700_000_000)
    expect(await readQemuLog(directory, 'web', 100)).toEqual({
      path: file,
      sizeBytes: 3 * 1024 * 1024 + 9,
      modifiedAt: 1_700_000_000_000,
      text: 'one\ntwo\n',
      lines: 2,
      truncated: true,
    })
  })

  test('one that is not there is empty', async () => {
    const empty = { sizeBytes: 0, text: '', lines: 0, truncated: false }
    expect(await readQemuLog(directory, 'web', 100)).toEqual({ path: path.join(directory, 'web.log'), ...empty })
  })

  test('nothing but a regular file of that directory is read', async () => {
    await symlink('/etc/passwd', path.join(directory, 'link.log'))
    await mkdir(path.join(directory, 'dir.log'))
    for (const name of ['link', 'dir', '../x']) {
      await expect(readQemuLog(directory, name, 1)).rejects.toMatchObject({ reason: 'LOG_UNREADABLE' })
    }
  })
})
