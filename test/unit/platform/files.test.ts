import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isInside, parseAbsolutePath, splitRelative, writeFileAtomic } from '../../../src/platform/files.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-files-'))
})
afterEach(async () => {
  await rm(dir, { recursive: true })
})

describe('writeFileAtomic', () => {
  it('replaces the content as a whole, private by default, and leaves no temp file', async () => {
    const file = path.join(dir, 'a.json')
    await writeFileAtomic(file, 'one')
    await writeFileAtomic(file, 'two')
    expect(await readFile(file, 'utf8')).toBe('two')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readdir(dir)).toEqual(['a.json'])
  })

  it('keeps the old content and cleans up when the rename is impossible', async () => {
    const target = path.join(dir, 'sub')
    await writeFileAtomic(path.join(dir, 'x'), 'x')
    const { mkdir, writeFile } = await import('node:fs/promises')
    await mkdir(target)
    await writeFile(path.join(target, 'occupied'), '')
    await expect(writeFileAtomic(target, 'data')).rejects.toThrow()
    expect((await readdir(dir)).sort()).toEqual(['sub', 'x'])
  })
})

describe('paths from requests', () => {
  it.each(['../x', 'a/../../x', '/etc/passwd', 'a//b', './a', 'a/./b', 'a\0b', 'a\nb', 'x'.repeat(256), '..'])(
    'refuses %j',
    (text) => {
      expect(() => splitRelative(text)).toThrow(/path .* (must be relative|not allowed)/)
    },
  )

  it.each([
    ['', []],
    ['.', []],
    ['iso', ['iso']],
    ['a/b c/ü.iso', ['a', 'b c', 'ü.iso']],
    ['a/', ['a']],
    ['..a', ['..a']],
  ])('takes %j apart', (relative, expected) => {
    expect(splitRelative(relative)).toEqual(expected)
  })

  it.each(['relative', '/a/../b', '/a\nb', '/a\0'])('refuses %j as an absolute path', (text) => {
    expect(() => parseAbsolutePath(text, 'field')).toThrow('field')
  })

  it('compares by components, not by prefix', () => {
    expect(isInside('/a/b', '/a/b/c')).toBe(true)
    expect(isInside('/a/b', '/a/b')).toBe(true)
    expect(isInside('/a/b', '/a/bc')).toBe(false)
    expect(isInside('/a/b', '/a')).toBe(false)
  })
})
