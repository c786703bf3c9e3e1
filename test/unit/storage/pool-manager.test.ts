import { cp, chmod, lstat, mkdir, readdir, readFile, rename, rm, rmdir, symlink, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import { listFiles } from '../../support/browse.ts'
import { reasonOf, startAgent, tempDirectory } from './fixture.ts'

const local = (poolId: string, path?: string, more: object = {}): PoolConfig => ({
  poolId,
  kind: 'LOCAL_DIR',
  options: { ...(path === undefined ? {} : { path }), ...more },
})

async function missing(path: string): Promise<boolean> {
  return lstat(path).then(
    () => false,
    () => true,
  )
}

describe('initialisation of a local pool', () => {
  test('makes a missing directory for others to pass through, marks it, and reports its space', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    const info = await pools.init(local('p1', `${base}/a/b/pool`), ctx)
    expect(info).toMatchObject({ mountPath: `${base}/a/b/pool`, observation: { health: 'HEALTHY', volumeCount: 0 } })
    expect(info.observation.totalBytes).toBeGreaterThan(0)
    expect((await lstat(info.mountPath)).mode & 0o777).toBe(0o711)
    expect(JSON.parse(await readFile(`${info.mountPath}/.limiquantix-pool.json`, 'utf8'))).toMatchObject({
      poolId: 'p1',
    })
  })

  test('without a path takes <base>/<poolId>', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    expect((await pools.init(local('p1', ''), ctx)).mountPath).toBe(`${base}/images/p1`)
  })

  test('keeps what is in a directory that is there', async () => {
    const base = await tempDirectory()
    await mkdir(`${base}/pool`, { mode: 0o755 })
    await writeFile(`${base}/pool/old.iso`, 'x')
    const { pools, environment, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    expect((await listFiles({ pools, environment, ctx }, 'p1', '')).map(({ name }) => name)).toEqual(['old.iso'])
  })

  test.each([
    ['another path', { path: '/srv/other' }],
    ['a capacity', { capacityGib: 5 }],
  ])('with %s under a used id is refused', async (_what, change) => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    const again = pools.init(local('p1', `${base}/pool`, change), ctx)
    expect(await reasonOf(again)).toBe('POOL_CONFIG_CHANGED')
  })

  test.each([
    ['relative', 'pool', 'POOL_CONFIG_INVALID'],
    ['the system', '/etc/pool', 'POOL_CONFIG_INVALID'],
    ['the root', '/', 'POOL_CONFIG_INVALID'],
    ['dots', '/srv/../etc', 'POOL_CONFIG_INVALID'],
    ['a newline', '/srv/a\nb', 'POOL_CONFIG_INVALID'],
    ['NUL', '/srv/a\0b', 'POOL_CONFIG_INVALID'],
  ])('refuses a path that is %s', async (_what, path, reason) => {
    const { pools, ctx } = await startAgent(await tempDirectory())
    expect(await reasonOf(pools.init(local('p1', path), ctx))).toBe(reason)
    expect(pools.list()).toEqual([])
  })

  test('refuses the agent’s own state, also through a symbolic link', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await symlink(`${base}/state`, `${base}/link`)
    expect(await reasonOf(pools.init(local('p1', `${base}/state/p`), ctx))).toBe('POOL_CONFIG_INVALID')
    expect(await reasonOf(pools.init(local('p1', `${base}/link/p`), ctx))).toBe('POOL_CONFIG_INVALID')
    expect(await readdir(`${base}/state`)).toEqual(['pools'])
  })

  test('names an unknown option and a type without a backend', async () => {
    const { pools, ctx } = await startAgent(await tempDirectory())
    await expect(pools.init(local('p1', '/srv/x', { shiny: 1 }), ctx)).rejects.toThrow(/shiny/)
    const tape = { poolId: 'p1', kind: 'TAPE', options: {} } as unknown as PoolConfig
    expect(await reasonOf(pools.init(tape, ctx))).toBe('POOL_TYPE_UNSUPPORTED')
  })

  test.each(['../p', 'a/b', 'a\nb', '', 'x'.repeat(300), '<p>'])('refuses the pool id %j', async (poolId) => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    expect(await reasonOf(pools.init(local(poolId), ctx))).toBe('INVALID_NAME')
    expect(await missing(`${base}/images`)).toBe(true)
  })

  test('refuses to overlap another pool in either direction', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/a/pool`), ctx)
    expect(await reasonOf(pools.init(local('p2', `${base}/a/pool`), ctx))).toBe('POOL_PATH_CONFLICT')
    expect(await reasonOf(pools.init(local('p2', `${base}/a/pool/inner`), ctx))).toBe('POOL_PATH_CONFLICT')
    expect(await reasonOf(pools.init(local('p2', `${base}/a`), ctx))).toBe('POOL_PATH_CONFLICT')
    await pools.init(local('p2', `${base}/a/pool2`), ctx)
  })

  test('sees another pool behind a symbolic link', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    await symlink(`${base}/pool`, `${base}/link`)
    expect(await reasonOf(pools.init(local('p2', `${base}/link`), ctx))).toBe('POOL_IDENTITY_MISMATCH')
    expect(await reasonOf(pools.init(local('p2', `${base}/link/inner`), ctx))).toBe('POOL_PATH_CONFLICT')
    expect(await missing(`${base}/pool/inner`)).toBe(true)
  })

  test('a file in the place of the directory is named and left alone', async () => {
    const base = await tempDirectory()
    await writeFile(`${base}/pool`, 'data')
    const { pools, ctx } = await startAgent(base)
    expect(await reasonOf(pools.init(local('p1', `${base}/pool`), ctx))).toBe('POOL_PATH_MISSING')
    expect(await readFile(`${base}/pool`, 'utf8')).toBe('data')
  })

  test('a damaged marker is not taken for no marker', async () => {
    const base = await tempDirectory()
    await mkdir(`${base}/pool`)
    await writeFile(`${base}/pool/.limiquantix-pool.json`, '{"poolId":')
    const { pools, ctx } = await startAgent(base)
    expect(await reasonOf(pools.init(local('p1', `${base}/pool`), ctx))).toBe('POOL_IDENTITY_MISMATCH')
    expect(await readdir(`${base}/pool`)).toEqual(['.limiquantix-pool.json'])
  })

  test('what a failed initialisation made is removed again', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    // The record cannot be written: a directory stands in its place.
    await mkdir(`${base}/state/pools/p1.json`, { recursive: true })
    await expect(pools.init(local('p1', `${base}/a/pool`), ctx)).rejects.toThrow()
    expect(pools.list()).toEqual([])
    expect(await missing(`${base}/a/pool`)).toBe(true)
  })
})

describe('after a restart', () => {
  test('the pool is back without a word from the control plane', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    const { observation: _, ...known } = await before.pools.init(local('p1', `${base}/pool`), before.ctx)
    before.pools.stop()
    const { pools, ctx } = await startAgent(base)
    await pools.observedOnce(ctx.signal)
    expect(pools.list()).toMatchObject([{ ...known, observation: { health: 'HEALTHY' } }])
    expect((await pools.require('p1', ctx)).guard?.root).toBe(`${base}/pool`)
  })

  test('a missing directory is reported and not made again, and holds up neither the start nor other pools', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    await before.pools.init(local('gone', `${base}/gone`), before.ctx)
    await before.pools.init(local('here', `${base}/here`), before.ctx)
    before.pools.stop()
    await rename(`${base}/gone`, `${base}/aside`)

    const { pools, environment, ctx } = await startAgent(base)
    await pools.observedOnce(ctx.signal)
    const [gone, here] = pools.list()
    expect(gone).toMatchObject({ observation: { health: 'UNMOUNTED', reason: 'POOL_PATH_MISSING' } })
    expect(here).toMatchObject({ observation: { health: 'HEALTHY' } })
    expect(await reasonOf(pools.init(local('gone', `${base}/gone`), ctx))).toBe('POOL_PATH_MISSING')
    await expect(listFiles({ pools, environment, ctx }, 'gone', '')).rejects.toMatchObject({
      reason: 'POOL_UNAVAILABLE',
      details: { reason: 'POOL_PATH_MISSING' },
    })
    expect(await missing(`${base}/gone`)).toBe(true)

    await rename(`${base}/aside`, `${base}/gone`)
    expect(await reasonOf(pools.init(local('gone', `${base}/gone`), ctx))).toBe('no error')
  })

  test('an empty directory in the place of the pool is not taken for it', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    await before.pools.init(local('p1', `${base}/pool`), before.ctx)
    before.pools.stop()
    await rename(`${base}/pool`, `${base}/aside`)
    await mkdir(`${base}/pool`)
    const { pools, ctx } = await startAgent(base)
    expect(await reasonOf(pools.init(local('p1', `${base}/pool`), ctx))).toBe('POOL_IDENTITY_MISMATCH')
    expect(await readdir(`${base}/pool`)).toEqual([])
  })

  test('another generation of the same pool is not taken for it', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    await before.pools.init(local('p1', `${base}/pool`), before.ctx)
    before.pools.stop()
    const marker = `${base}/pool/.limiquantix-pool.json`
    const changed = { ...(JSON.parse(await readFile(marker, 'utf8')) as object), generation: 'older' }
    await writeFile(marker, JSON.stringify(changed))
    const { pools, ctx } = await startAgent(base)
    expect(await reasonOf(pools.require('p1', ctx))).toBe('POOL_UNAVAILABLE')
  })

  test('a pool without a record is found by its marker, at the usual places, on the first request', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    await before.pools.init(local('p1'), before.ctx)
    await before.pools.init(local('p2', `${base}/pools/p2`), before.ctx)
    before.pools.stop()
    await rm(`${base}/state`, { recursive: true })
    const { pools, ctx } = await startAgent(base)
    expect(pools.list()).toEqual([])
    const [one, other] = await Promise.all([pools.info('p1', ctx), pools.require('p1', ctx)])
    expect(one.observation.health).toBe('HEALTHY')
    expect(other.guard?.root).toBe(`${base}/images/p1`)
    expect((await pools.info('p2', ctx)).mountPath).toBe(`${base}/pools/p2`)
    // The initialisation that comes later brings what the marker does not know.
    expect((await pools.init(local('p1', '', { capacityGib: 5 }), ctx)).config.options['capacityGib']).toBe(5)
  })

  test('a pool at a path of its own is found by the disks of the guests on it, with libvirt late', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    const place = `${base}/srv/fast/vms`
    await before.pools.init(local('p1', place), before.ctx)
    before.pools.stop()
    await rm(`${base}/state`, { recursive: true })
    const listed = Promise.withResolvers<readonly string[]>()
    const { pools, ctx } = await startAgent(base, { guestPlaces: () => listed.promise })
    expect(pools.list()).toEqual([])
    listed.resolve(['rbd:vms/one', '/dev/vg/lv', `${base}/other/x.qcow2`, `${place}/vms/web_1/disk0.qcow2`])
    await pools.observedOnce(ctx.signal)
    expect(pools.list().map((pool) => [pool.config.poolId, pool.mountPath])).toEqual([['p1', place]])
  })

  test('one that cannot be taken up keeps no other away', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    for (const name of ['a', 'b', 'c']) await before.pools.init(local(`p-${name}`, `${base}/srv/${name}`), before.ctx)
    before.pools.stop()
    await rm(`${base}/state`, { recursive: true })
    // A copy of the first pool inside of the second one: which of the two is taken up first, the other one overlaps.
    await cp(`${base}/srv/a`, `${base}/srv/b/copy`, { recursive: true })
    await rm(`${base}/srv/a`, { recursive: true })
    const guestPlaces = () => Promise.resolve(['a', 'b', 'b/copy', 'c'].map((name) => `${base}/srv/${name}/x.qcow2`))
    const { pools, ctx } = await startAgent(base, { guestPlaces })
    await pools.observedOnce(ctx.signal)
    expect(pools.list().map((pool) => pool.config.poolId)).toEqual(['p-b', 'p-c'])
  })

  test('a request finds such a pool too, and does not wait for a libvirt that is away', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    await before.pools.init(local('p1', `${base}/srv/fast`), before.ctx)
    before.pools.stop()
    await rm(`${base}/state`, { recursive: true })
    let places: Promise<readonly string[]> = Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'libvirt is away'))
    places.catch(() => undefined)
    const { pools, ctx } = await startAgent(base, { guestPlaces: () => places })
    expect(await reasonOf(pools.info('p1', ctx))).toBe('POOL_NOT_FOUND')
    places = Promise.resolve([`${base}/srv/fast/a/b/c.qcow2`])
    expect((await pools.info('p1', ctx)).mountPath).toBe(`${base}/srv/fast`)
    expect(await reasonOf(pools.info('p2', ctx))).toBe('POOL_NOT_FOUND')
  })

  test('a directory that only bears the id of a pool is not that pool', async () => {
    const base = await tempDirectory()
    await mkdir(`${base}/images/p1`, { recursive: true })
    const { pools, ctx } = await startAgent(base)
    await expect(pools.info('p1', ctx)).rejects.toMatchObject({
      reason: 'POOL_NOT_FOUND',
      message: expect.stringMatching(/^pool p1 not found/) as string,
    })
  })
})

describe('use and destruction', () => {
  test('a destroyed pool leaves no trace when it was empty and made by the agent', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    const seen: number[] = []
    pools.onChange(() => seen.push(pools.list().length))
    await pools.destroy('p1', ctx)
    expect(seen).toEqual([0])
    expect(await missing(`${base}/pool`)).toBe(true)
    expect(await readdir(`${base}/state/pools`)).toEqual([])
    expect(await reasonOf(pools.destroy('p1', ctx))).toBe('POOL_NOT_FOUND')
  })

  test('neither does one that is destroyed right after a start, before anybody has looked at it', async () => {
    const base = await tempDirectory()
    const before = await startAgent(base)
    await before.pools.init(local('p1', `${base}/pool`), before.ctx)
    before.pools.stop()
    const { pools, ctx } = await startAgent(base)
    await pools.destroy('p1', ctx)
    expect(await missing(`${base}/pool`)).toBe(true)
    await pools.init(local('p2', `${base}/pool`), ctx)
  })

  test('whoever waited for the pool meanwhile does not take it up again', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    const asked: Promise<string | undefined>[] = []
    let destroyed = false
    const asking = setInterval(() => {
      if (!destroyed)
        asked.push(
          pools.require('p1', ctx).then(
            () => undefined,
            (error: AgentError) => error.reason,
          ),
        )
    }, 1)
    await pools.destroy('p1', ctx)
    destroyed = true
    clearInterval(asking)
    for (const reason of await Promise.all(asked))
      expect([undefined, 'POOL_NOT_FOUND', 'POOL_IN_USE']).toContain(reason)
    expect(await missing(`${base}/pool`)).toBe(true)
  })

  test('a directory that was there stays, with its content and without our marker', async () => {
    const base = await tempDirectory()
    await mkdir(`${base}/pool`)
    await writeFile(`${base}/pool/data.iso`, 'x')
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    await pools.destroy('p1', ctx)
    expect(await readdir(`${base}/pool`)).toEqual(['data.iso'])
    expect(await reasonOf(pools.init(local('p2', `${base}/pool`), ctx))).toBe('no error')
  })

  test('is refused while a job has space reserved, naming it', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    const space = await pools.reserve('p1', 1024, ctx, 'download of debian-12')
    await expect(pools.destroy('p1', ctx)).rejects.toThrow(/download of debian-12/)
    space.release()
    await pools.destroy('p1', ctx)
  })

  test('is refused when nobody can tell whether it is used', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    pools.addUserSource(() => Promise.reject(new Error('libvirt is away')))
    await expect(pools.destroy('p1', ctx)).rejects.toThrow('libvirt is away')
    expect(pools.list()).toHaveLength(1)
  })

  test('does not wait for what is kept in the pool, of which a dead server could not tell', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    pools.addUserSource(() => new Promise(() => undefined), 'contents')
    await pools.destroy('p1', ctx)
    expect(pools.list()).toEqual([])
  })

  test('of a pool whose directory is gone forgets it', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    await rm(`${base}/pool`, { recursive: true })
    await pools.destroy('p1', ctx)
    expect(pools.list()).toEqual([])
  })

  test('more than there is cannot be reserved', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`, { capacityGib: 1 }), ctx)
    expect(await reasonOf(pools.reserve('p1', 2 ** 31, ctx))).toBe('POOL_FULL')
  })

  test('a path belongs to the pool that contains it, and to none outside', async () => {
    const base = await tempDirectory()
    const { pools, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    expect(pools.findByPath(`${base}/pool/cloud-images/a.qcow2`)?.config.poolId).toBe('p1')
    expect(pools.findByPath(`${base}/pool2/a`)).toBeUndefined()
  })

  test('the capacity of a limited pool counts everything in it', async () => {
    const base = await tempDirectory()
    await mkdir(`${base}/pool/iso`, { recursive: true })
    await writeFile(`${base}/pool/iso/a.iso`, Buffer.alloc(3 * 2 ** 20, 1))
    const { pools, ctx } = await startAgent(base)
    const { observation } = await pools.init(local('p1', `${base}/pool`, { capacityGib: 1 }), ctx)
    expect(observation.totalBytes).toBe(2 ** 30)
    expect(observation.usedBytes).toBeGreaterThanOrEqual(3 * 2 ** 20)
    expect(observation.availableBytes).toBe(2 ** 30 - observation.usedBytes)
  })
})

describe('the file browser', () => {
  test('lists directories first, then by name without regard to case, and hides the agent’s own files', async () => {
    const base = await tempDirectory()
    const { pools, environment, ctx } = await startAgent(base)
    const root = (await pools.init(local('p1', `${base}/pool`), ctx)).mountPath
    await mkdir(`${root}/Zoo`)
    await mkdir(`${root}/apes`)
    await writeFile(`${root}/b.ISO`, '12345')
    await writeFile(`${root}/A.qcow2`, '')
    await writeFile(`${root}/c`, '')
    await writeFile(`${root}/.hidden`, '')
    await chmod(`${root}/b.ISO`, 0o640)
    const files = await listFiles({ pools, environment, ctx }, 'p1', '')
    expect(files.map(({ name }) => name)).toEqual(['apes', 'Zoo', '.hidden', 'A.qcow2', 'b.ISO', 'c'])
    expect(files.map(({ fileType }) => fileType)).toEqual(['directory', 'directory', '', 'qcow2', 'iso', ''])
    expect(files[4]).toMatchObject({ path: 'b.ISO', sizeBytes: 5, permissions: '640', isDirectory: false })
    expect(files[0]).toMatchObject({ sizeBytes: 0, isDirectory: true })
    const { mtimeMs } = await lstat(`${root}/b.ISO`)
    expect(files[4]?.modifiedAt).toBe(Math.trunc(mtimeMs))
  })

  test('gives paths relative to the pool root', async () => {
    const base = await tempDirectory()
    const { pools, environment, ctx } = await startAgent(base)
    const root = (await pools.init(local('p1', `${base}/pool`), ctx)).mountPath
    await mkdir(`${root}/a/b`, { recursive: true })
    await writeFile(`${root}/a/b/x.iso`, '')
    expect((await listFiles({ pools, environment, ctx }, 'p1', 'a/b/'))[0]?.path).toBe('a/b/x.iso')
  })

  test.each([
    ['..', 'INVALID_PATH'],
    ['a/../..', 'INVALID_PATH'],
    ['/etc', 'INVALID_PATH'],
    ['a\0b', 'INVALID_PATH'],
    ['x'.repeat(300), 'INVALID_PATH'],
    ['link', 'INVALID_PATH'],
    ['link/passwd', 'INVALID_PATH'],
    ['nothing', 'FILE_NOT_FOUND'],
    ['file', 'FILE_NOT_DIRECTORY'],
    ['file/x', 'FILE_NOT_DIRECTORY'],
    ['iso/sub', 'FILE_NOT_FOUND'],
  ])('%j is %s', async (path, reason) => {
    const base = await tempDirectory()
    const { pools, environment, ctx } = await startAgent(base)
    const root = (await pools.init(local('p1', `${base}/pool`), ctx)).mountPath
    await symlink('/etc', `${root}/link`)
    await writeFile(`${root}/file`, '')
    expect(await reasonOf(listFiles({ pools, environment, ctx }, 'p1', path))).toBe(reason)
  })

  test('a missing iso directory on a healthy pool is empty; on a pool that is gone it is an error', async () => {
    const base = await tempDirectory()
    const { pools, environment, ctx } = await startAgent(base)
    await pools.init(local('p1', `${base}/pool`), ctx)
    expect(await listFiles({ pools, environment, ctx }, 'p1', 'iso')).toEqual([])
    await rm(`${base}/pool`, { recursive: true })
    expect(await reasonOf(listFiles({ pools, environment, ctx }, 'p1', 'iso'))).toBe('POOL_PATH_MISSING')
    await mkdir(`${base}/pool`)
    expect(await reasonOf(listFiles({ pools, environment, ctx }, 'p1', 'iso'))).toBe('POOL_IDENTITY_MISMATCH')
    await rmdir(`${base}/pool`)
  })
})
