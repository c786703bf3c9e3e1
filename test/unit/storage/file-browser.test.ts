import { execFileSync } from 'node:child_process'
import {
  open,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  symlink,
  utimes,
  writeFile,
  link,
} from 'node:fs/promises'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { PoolUser } from '../../../src/storage/pool-access.ts'
import type { FileBrowser } from '../../../src/storage/browser.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { browserOf, collect, listFiles, wholeDirectory } from '../../support/browse.ts'
import { reasonOf, startAgent, tempDirectory, type Agent } from './fixture.ts'

const MARKER = '.limiquantix-pool.json'

let base: string
let root: string
let agent: Agent
let browser: FileBrowser

beforeEach(async () => {
  base = await tempDirectory()
  root = `${base}/pool`
  agent = await startAgent(base)
  await agent.pools.init({ poolId: 'p1', kind: 'LOCAL_DIR', options: { path: root } }, agent.ctx)
  browser = browserOf(agent)
})

const names = async (change: object = {}, path = '') =>
  (await listFiles(agent, 'p1', path, change)).map(({ name }) => name)
const remove = (path: string) => browser.delete('p1', path, agent.ctx)
const move = (from: string, to: string) => browser.rename('p1', from, to, agent.ctx)
const make = (path: string) => browser.makeDirectory('p1', path, agent.ctx)
const used = (...users: PoolUser[]) => agent.pools.addUserSource(() => Promise.resolve(users))
const volume = (name: string, content: object = { type: 'empty' }) =>
  createVolumeManager(agent.pools).create(
    'p1',
    { name, format: 'qcow2', sizeBytes: 2 ** 20, content: content as { type: 'empty' }, owner: 'vm:1' },
    agent.ctx,
  )

describe('a listing', () => {
  beforeEach(async () => {
    await mkdir(`${root}/B`)
    await mkdir(`${root}/a`)
    const files = { 'x.iso': 30, 'Y.iso': 10, 'c.txt': 20 }
    for (const [index, [name, size]] of Object.entries(files).entries()) {
      await writeFile(`${root}/${name}`, 'z'.repeat(size))
      await utimes(`${root}/${name}`, 1000 - index, 1000 - index)
    }
  })

  test.each([
    [{}, ['a', 'B', 'c.txt', 'x.iso', 'Y.iso']],
    [{ descending: true }, ['B', 'a', 'Y.iso', 'x.iso', 'c.txt']],
    [{ order: 'size' }, ['a', 'B', 'Y.iso', 'c.txt', 'x.iso']],
    [{ order: 'size', descending: true }, ['a', 'B', 'x.iso', 'c.txt', 'Y.iso']],
    [{ order: 'type' }, ['a', 'B', 'x.iso', 'Y.iso', 'c.txt']],
    [{ offset: 1, limit: 2 }, ['B', 'c.txt']],
    [{ offset: 4, limit: 9 }, ['Y.iso']],
    [{ offset: 9, limit: 9 }, []],
    [{ offset: 0, limit: 0 }, []],
  ])('sorted and cut by %o', async (change, expected) => {
    expect(await names(change)).toEqual(expected)
  })

  test('by time has the files in their order, whatever the time of the directories', async () => {
    expect((await names({ order: 'mtime' })).slice(2)).toEqual(['c.txt', 'Y.iso', 'x.iso'])
    expect((await names({ order: 'mtime', descending: true })).slice(2)).toEqual(['x.iso', 'Y.iso', 'c.txt'])
  })

  test('says how many entries there are, also for an empty part', async () => {
    for (const change of [
      { offset: 1, limit: 1 },
      { offset: 9, limit: 1 },
    ]) {
      for await (const { total } of browser.list('p1', wholeDirectory('', change), agent.ctx)) expect(total).toBe(5)
    }
  })

  test('tells what files are by their content, links and special files by what they are', async () => {
    await writeFile(`${root}/c.txt`, 'QFI\xfb', 'latin1')
    await writeFile(`${root}/wrong.iso`, 'QFI\xfb', 'latin1')
    await symlink('/etc', `${root}/link.iso`)
    execFileSync('mkfifo', [`${root}/pipe.iso`])
    const types = async (change: object) =>
      Object.fromEntries((await listFiles(agent, 'p1', '', change)).map(({ name, fileType }) => [name, fileType]))
    const page = {
      a: 'directory',
      'c.txt': 'qcow2',
      'wrong.iso': 'qcow2',
      'link.iso': 'symlink',
      'pipe.iso': 'special',
    }
    expect(await types({ limit: 100 })).toMatchObject(page)
    // Of a whole directory only what is named like a disk image is looked into.
    expect(await types({})).toMatchObject({ 'c.txt': 'txt', 'wrong.iso': 'qcow2' })
  })

  test('shows names that are no text instead of hiding their files', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x62, 0xff])]), '')
    expect(await listFiles(agent, 'p1', '')).toContainEqual(
      expect.objectContaining({ name: 'b\ufffd', fileType: 'special', sizeBytes: 0 }),
    )
  })

  test('of the agent’s own directory is refused', async () => {
    expect(await reasonOf(listFiles(agent, 'p1', '.limiquantix'))).toBe('INVALID_PATH')
  })

  test('in parts follows changes of the directory, however old its time looks', async () => {
    const age = () => utimes(root, 1_000, 1_000)
    await age()
    expect(await names({ limit: 3 })).toEqual(['a', 'B', 'c.txt'])
    await writeFile(`${root}/0`, '')
    await age()
    expect(await names({ limit: 3 })).toEqual(['a', 'B', '0'])
    expect(await names({ limit: 3, descending: true })).toEqual(['B', 'a', 'Y.iso'])
    await mkdir(`${root}/C`)
    await age()
    expect(await names({ limit: 4 })).toEqual(['a', 'B', 'C', '0'])
  })

  test('that nobody wants any more ends in the helper too', async () => {
    for await (const { bytes } of browser.list('p1', wholeDirectory(''), agent.ctx)) {
      expect(bytes.length).toBeGreaterThan(0)
      break
    }
    expect(await names()).toHaveLength(5)
  })
})

describe('deleting', () => {
  test('takes a file, a link, an empty directory; again is success', async () => {
    await writeFile(`${base}/outside`, 'precious')
    await writeFile(`${root}/a`, '')
    await symlink(`${base}/outside`, `${root}/b`)
    await mkdir(`${root}/c`)
    for (const name of ['a', 'b', 'c']) expect(await remove(name)).toBe('deleted')
    for (const name of ['a', 'b', 'c', 'no/where']) expect(await remove(name)).toBe('already-deleted')
    expect(await names()).toEqual([])
    expect(await readFile(`${base}/outside`, 'utf8')).toBe('precious')
  })

  test('takes what a download wrote about an image with the image', async () => {
    await writeFile(`${root}/x.qcow2`, '')
    await writeFile(`${root}/.x.qcow2.lqx.json`, '{}')
    await remove('x.qcow2')
    expect(await names()).toEqual([])
  })

  test('never takes more than is named', async () => {
    await mkdir(`${root}/full`)
    await writeFile(`${root}/full/x`, '')
    expect(await reasonOf(remove('full'))).toBe('DIRECTORY_NOT_EMPTY')
    expect(await readdir(`${root}/full`)).toEqual(['x'])
  })

  test.each([
    ['', 'INVALID_PATH'],
    ['.', 'INVALID_PATH'],
    ['..', 'INVALID_PATH'],
    ['a/../b', 'INVALID_PATH'],
    ['/etc/passwd', 'INVALID_PATH'],
    [MARKER, 'INVALID_PATH'],
    ['.limiquantix', 'INVALID_PATH'],
    ['.limiquantix/volumes/probe', 'INVALID_PATH'],
    ['x.lqxtmp', 'INVALID_PATH'],
    ['link/passwd', 'INVALID_PATH'],
    ['file/x', 'FILE_NOT_DIRECTORY'],
  ])('%j is %s', async (path, reason) => {
    await symlink('/etc', `${root}/link`)
    await writeFile(`${root}/file`, '')
    expect(await reasonOf(remove(path))).toBe(reason)
    expect(await lstat(`${root}/${MARKER}`)).toBeDefined()
  })

  test('refuses what a VM uses, and names it', async () => {
    await writeFile(`${root}/x.iso`, '')
    await writeFile(`${root}/y.iso`, '')
    used({ name: 'VM web-1 (6f)', path: `${root}/x.iso` })
    await expect(remove('x.iso')).rejects.toThrow(/FILE_IN_USE|used by VM web-1/)
    expect(await reasonOf(remove('x.iso'))).toBe('FILE_IN_USE')
    expect(await remove('y.iso')).toBe('deleted')
  })

  test('refuses when a VM cannot tell what it uses', async () => {
    await writeFile(`${root}/x.iso`, '')
    used({ name: 'VM odd, whose definition cannot be read', owner: 'vm:2' })
    expect(await reasonOf(remove('x.iso'))).toBe('FILE_IN_USE')
  })

  test('refuses a volume and the backing file of one, of this pool or another', async () => {
    await volume('vms/a/disk')
    expect(await reasonOf(remove('vms/a/disk.qcow2'))).toBe('FILE_IN_USE')
    await expect(remove('vms/a/disk.qcow2')).rejects.toThrow(/volume vms\/a\/disk .*delete the volume/)
    await mkdir(`${root}/cloud-images`)
    for (const name of ['base', 'other', 'free']) {
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', `${root}/cloud-images/${name}.qcow2`, '1M'])
    }
    await volume('overlay', { type: 'overlay', path: `${root}/cloud-images/base.qcow2`, format: 'qcow2' })
    await expect(remove('cloud-images/base.qcow2')).rejects.toThrow(/backing file of volume overlay/)
    await agent.pools.init({ poolId: 'p2', kind: 'LOCAL_DIR', options: { path: `${base}/p2` } }, agent.ctx)
    const content = { type: 'overlay', path: `${root}/cloud-images/other.qcow2`, format: 'qcow2' } as const
    const spec = { name: 'far', format: 'qcow2', sizeBytes: 2 ** 20, content, owner: 'vm:1' } as const
    await createVolumeManager(agent.pools).create('p2', spec, agent.ctx)
    await expect(remove('cloud-images/other.qcow2')).rejects.toThrow(/volume far of pool p2/)
    expect(await reasonOf(move('cloud-images', 'elsewhere'))).toBe('FILE_IN_USE')
    expect(await remove('cloud-images/free.qcow2')).toBe('deleted')
  })

  test('refuses the backing file of a volume that another host made, which has the pool at another place', async () => {
    await mkdir(`${root}/cloud-images`)
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', `${root}/cloud-images/base.qcow2`, '1M'])
    await volume('theirs', { type: 'overlay', path: `${root}/cloud-images/base.qcow2`, format: 'qcow2' })
    const record = `${root}/.limiquantix/volumes/theirs.json`
    const text = (await readFile(record, 'utf8')).replaceAll(root, '/elsewhere/pool').replace('test-node', 'other-node')
    await writeFile(record, text)
    expect(await reasonOf(remove('cloud-images/base.qcow2'))).toBe('FILE_IN_USE')
  })

  test('refuses what a process of this host has open', async () => {
    await writeFile(`${root}/held.iso`, '')
    const handle = await open(`${root}/held.iso`)
    onTestFinished(() => handle.close())
    await expect(remove('held.iso')).rejects.toThrow(`pid ${process.pid}`)
    await handle.close()
    expect(await remove('held.iso')).toBe('deleted')
  })
})

describe('making a directory', () => {
  test('is success when it is there, and never a second thing under one name', async () => {
    expect(await make('isos')).toBe('made')
    expect(await make('isos')).toBe('already-there')
    expect((await lstat(`${root}/isos`)).mode & 0o777).toBe(0o711)
    await writeFile(`${root}/file`, '')
    expect(await reasonOf(make('file'))).toBe('FILE_CONFLICT')
    expect(await reasonOf(make('no/where'))).toBe('FILE_NOT_FOUND')
    await symlink(base, `${root}/link`)
    expect(await reasonOf(make('link/x'))).toBe('INVALID_PATH')
    expect(await reasonOf(make('link'))).toBe('FILE_CONFLICT')
  })
})

describe('renaming', () => {
  test('moves files, links and directories with what is in them', async () => {
    await mkdir(`${root}/d/e`, { recursive: true })
    await writeFile(`${root}/f.qcow2`, 'data')
    await writeFile(`${root}/.f.qcow2.lqx.json`, '{}')
    await symlink('target', `${root}/l`)
    await move('f.qcow2', 'd/g.qcow2')
    await move('l', 'd/l')
    await move('d', 'moved')
    expect(await names()).toEqual(['moved'])
    expect(await readFile(`${root}/moved/g.qcow2`, 'utf8')).toBe('data')
    expect(await readdir(`${root}/moved`)).toContain('.g.qcow2.lqx.json')
    expect(await readlink(`${root}/moved/l`)).toBe('target')
    await move('moved/g.qcow2', 'moved/g.qcow2')
    expect(await readFile(`${root}/moved/g.qcow2`, 'utf8')).toBe('data')
  })

  test('never replaces anything', async () => {
    for (const name of ['a', 'b']) await writeFile(`${root}/${name}`, name)
    for (const name of ['c', 'empty']) await mkdir(`${root}/${name}`)
    for (const [from, to] of [
      ['a', 'b'],
      ['a', 'c'],
      ['c', 'a'],
      ['c', 'empty'],
    ] as const) {
      expect(await reasonOf(move(from, to))).toBe('FILE_CONFLICT')
    }
    expect(await readFile(`${root}/b`, 'utf8')).toBe('b')
    expect(await names()).toEqual(['c', 'empty', 'a', 'b'])
  })

  test('that was interrupted between its two steps is completed by the same request', async () => {
    await writeFile(`${root}/a`, 'data')
    await link(`${root}/a`, `${root}/b`)
    await move('a', 'b')
    expect(await names()).toEqual(['b'])
  })

  test.each([
    ['nothing', 'b', 'FILE_NOT_FOUND'],
    ['d', 'd/e/f', 'INVALID_PATH'],
    ['a', 'no/where', 'FILE_NOT_FOUND'],
    ['a', '../a', 'INVALID_PATH'],
    ['a', MARKER, 'INVALID_PATH'],
    ['a', '.limiquantix/volumes/x.json', 'INVALID_PATH'],
    [MARKER, 'a2', 'INVALID_PATH'],
    ['a', 'x.lqxtmp', 'INVALID_PATH'],
    ['a', 'link/a', 'INVALID_PATH'],
  ])('%s to %s is %s', async (from, to, reason) => {
    await mkdir(`${root}/d/e`, { recursive: true })
    await writeFile(`${root}/a`, '')
    await symlink(base, `${root}/link`)
    expect(await reasonOf(move(from, to))).toBe(reason)
  })

  test('refuses what is used, and the directory it is in', async () => {
    await volume('vms/a/disk')
    expect(await reasonOf(move('vms/a/disk.qcow2', 'x'))).toBe('FILE_IN_USE')
    expect(await reasonOf(move('vms', 'x'))).toBe('FILE_IN_USE')
    await mkdir(`${root}/isos`)
    await writeFile(`${root}/isos/x.iso`, '')
    used({ name: 'VM web-1', path: `${root}/isos/x.iso` })
    expect(await reasonOf(move('isos', 'x'))).toBe('FILE_IN_USE')
  })
})

describe('reading', () => {
  const text = async (path: string, offset: number, length: number) => {
    const { read } = await browser.open('p1', path, agent.ctx)
    const pieces: Uint8Array[] = []
    for await (const piece of read(offset, length)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  test('gives any part, in several pieces where it is long', async () => {
    const data = Buffer.alloc(3 * 2 ** 20 + 17, 'abcdefghij')
    await writeFile(`${root}/x`, data)
    expect(await text('x', 0, data.length)).toEqual(data)
    expect(await text('x', 2 ** 20 - 1, 2)).toEqual(data.subarray(2 ** 20 - 1, 2 ** 20 + 1))
    expect(await text('x', 0, 0)).toHaveLength(0)
  })

  test('tells versions apart, and notices a change in the middle', async () => {
    await writeFile(`${root}/x`, Buffer.alloc(4 * 2 ** 20))
    const { version, read } = await browser.open('p1', 'x', agent.ctx)
    const pieces = read(0, 4 * 2 ** 20)[Symbol.asyncIterator]()
    await pieces.next()
    await writeFile(`${root}/y`, Buffer.alloc(4 * 2 ** 20))
    await rename(`${root}/y`, `${root}/x`)
    const rest = async () => {
      while ((await pieces.next()).done !== true);
    }
    expect(await reasonOf(rest())).toBe('FILE_CHANGED')
    expect((await browser.open('p1', 'x', agent.ctx)).version).not.toBe(version)
  })

  test.each([
    ['', 'FILE_NOT_REGULAR'],
    ['d', 'FILE_NOT_REGULAR'],
    ['link', 'FILE_NOT_REGULAR'],
    ['pipe', 'FILE_NOT_REGULAR'],
    ['nothing', 'FILE_NOT_FOUND'],
    ['up/passwd', 'INVALID_PATH'],
    [MARKER, 'INVALID_PATH'],
    ['.limiquantix/volumes/probe', 'INVALID_PATH'],
    ['../x', 'INVALID_PATH'],
  ])('%j is %s', async (path, reason) => {
    await mkdir(`${root}/d`)
    await symlink('/etc/passwd', `${root}/link`)
    await symlink('/etc', `${root}/up`)
    execFileSync('mkfifo', [`${root}/pipe`])
    expect(await reasonOf(browser.open('p1', path, agent.ctx))).toBe(reason)
  })
})

test('a pool whose directory is gone is an error for everything, never an empty answer', async () => {
  await rename(root, `${base}/aside`)
  for (const work of [
    () => collect(browser.list('p1', wholeDirectory('iso'), agent.ctx)),
    () => remove('x'),
    () => make('x'),
    () => move('x', 'y'),
    () => browser.open('p1', 'x', agent.ctx),
  ]) {
    expect(['POOL_PATH_MISSING', 'POOL_UNAVAILABLE']).toContain(await reasonOf(work()))
  }
  await rename(`${base}/aside`, root)
})
