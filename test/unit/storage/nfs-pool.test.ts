import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { MountRequest } from '../../../src/platform/mounter.ts'
import type { MountEntry } from '../../../src/platform/mounts.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { nfsPools } from '../../../src/storage/backends/nfs.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import { reasonOf, startAgent, tempDirectory } from './fixture.ts'
import { failing, scriptedMounter } from './scripted-mounter.ts'

function nfsEntry(mountPoint: string, change: Partial<MountEntry> = {}): MountEntry {
  return {
    ...{ mountId: 900, parentId: 1, device: '0:99', root: '/', mountPoint, options: 'rw,relatime', fsType: 'nfs4' },
    ...{ source: 'nas:/pool', superOptions: 'rw,vers=4.1,hard,proto=tcp,sec=sys', ...change },
  }
}

async function setup(answer: (request: MountRequest) => Promise<void>, mounts: MountEntry[] = []) {
  const base = await tempDirectory()
  const { environment, ctx } = await startAgent(base)
  const script = scriptedMounter(answer, mounts)
  const mounting: StorageEnvironment = { ...environment, mounter: script.mounter }
  const create = (options: object = {}) =>
    nfsPools(mounting).create({
      poolId: 'p1',
      kind: 'NFS',
      options: { server: 'nas', exportPath: '/pool', ...options },
    })
  return { base, ctx, create, environment: mounting, ...script }
}

describe('configuration of an NFS pool', () => {
  test('is completed with defaults, so that equal requests compare equal', async () => {
    const { base, create } = await setup(() => Promise.resolve())
    const { config, mountPath } = create()
    expect(config.options).toEqual({
      ...{ server: 'nas', exportPath: '/pool', version: '4.1', options: '', mountPoint: `${base}/mnt/nfs-p1` },
    })
    expect(mountPath).toBe(`${base}/mnt/nfs-p1`)
    expect(create(config.options).config).toEqual(config)
    expect(create({ exportPath: '/pool/', version: '', options: ',,', mountPoint: '' }).config).toEqual(config)
  })

  test.each([
    [{ server: '' }, /nfs\.server/],
    [{ exportPath: undefined }, /nfs\.export_path/],
    [{ version: '5' }, /nfs\.version/],
    [{ version: '4.1,soft' }, /nfs\.version/],
    [{ options: 'vers=3' }, /nfs\.options/],
    [{ mountPoint: 'relative' }, /nfs\.mount_point/],
    [{ mountPoint: '/etc/pool' }, /nfs\.mount_point/],
    [{ mountPoint: '/mnt' }, /nfs\.mount_point/],
    [{ mountPoint: '/srv/../etc' }, /nfs\.mount_point/],
    [{ mountPoint: '/srv/a\nb' }, /nfs\.mount_point/],
    [{ surprise: 1 }, /surprise/],
  ])('refuses %j', async (options, text) => {
    const { create } = await setup(() => Promise.resolve())
    expect(() => create(options)).toThrow(text)
  })
})

describe('a mount that fails', () => {
  test('has its reason, and leaves neither directory nor record', async () => {
    const { base, ctx, create, environment, requests } = await setup(failing('mount.nfs: Connection refused'))
    expect(await reasonOf(create().activate({ mode: 'initialise' }, ctx))).toBe('SERVER_NOT_ANSWERING')
    expect(requests).toMatchObject([{ source: 'nas:/pool', target: `${base}/mnt/nfs-p1`, fsType: 'nfs' }])
    expect(await readdir(`${base}/mnt`)).toEqual([])
    expect(await environment.mountPoints.entries()).toEqual([])
  })

  test('for want of a client in the kernel says so', async () => {
    const { ctx, create } = await setup(failing('mount.nfs: No such device'))
    await expect(create().activate({ mode: 'initialise' }, ctx)).rejects.toMatchObject({
      reason: 'MOUNT_FAILED',
      message: expect.stringContaining('modprobe nfs') as string,
    })
  })

  test('removes the directories it made for a mount point of its own, and no other', async () => {
    const { base, ctx, create } = await setup(failing('mount.nfs: Connection refused'))
    await mkdir(`${base}/srv`)
    const backend = create({ mountPoint: `${base}/srv/a/b` })
    expect(await reasonOf(backend.activate({ mode: 'initialise' }, ctx))).toBe('SERVER_NOT_ANSWERING')
    expect(await readdir(`${base}/srv`)).toEqual([])
  })

  test('but was complete by then is undone', async () => {
    const mounts: MountEntry[] = []
    const { base, ctx, create, unmounts } = await setup((request) => {
      mounts.push(nfsEntry(request.target))
      return Promise.reject(new AgentError('CANCELLED', 'the caller gave up'))
    }, mounts)
    expect(await reasonOf(create().activate({ mode: 'initialise' }, ctx))).toBe('CANCELLED')
    expect(unmounts).toEqual([{ target: `${base}/mnt/nfs-p1`, force: false }])
    expect(await readdir(`${base}/mnt`)).toEqual([])
  })

  test('without saying so is not believed: nothing is written below the mount point', async () => {
    const { base, ctx, create } = await setup(() => Promise.resolve())
    expect(await reasonOf(create().activate({ mode: 'initialise' }, ctx))).toBe('POOL_NOT_MOUNTED')
    expect(await readdir(`${base}/mnt`)).toEqual([])
  })

  test('and vanished before the marker was written leaves no marker on the disk below', async () => {
    const mounts: MountEntry[] = []
    const { base, ctx, create } = await setup((request) => {
      mounts.push(nfsEntry(request.target))
      return Promise.resolve()
    }, mounts)
    expect(await reasonOf(create().activate({ mode: 'initialise' }, ctx))).toBe('POOL_IDENTITY_MISMATCH')
    expect(await readdir(`${base}/mnt`)).toEqual([])
  })
})

describe('what is at the mount point before', () => {
  test('something else is mounted: refused and left alone', async () => {
    const base = await tempDirectory()
    const place = `${base}/place`
    const script = await setup(() => Promise.resolve(), [nfsEntry(place, { source: 'nas:/other' })])
    const backend = script.create({ mountPoint: place })
    expect(await reasonOf(backend.activate({ mode: 'initialise' }, script.ctx))).toBe('MOUNT_FOREIGN')
    expect(await backend.probe(script.ctx)).toMatchObject({ health: 'ERROR', reason: 'MOUNT_FOREIGN' })
    expect(await backend.deactivate(script.ctx)).toBe('already-inactive')
    expect(script.requests).toEqual([])
    expect(script.unmounts).toEqual([])
  })

  test('content of its own: refused at the first use', async () => {
    const { base, ctx, create, requests } = await setup(() => Promise.resolve())
    await mkdir(`${base}/full`)
    await writeFile(`${base}/full/data`, 'x')
    const backend = create({ mountPoint: `${base}/full` })
    expect(await reasonOf(backend.activate({ mode: 'initialise' }, ctx))).toBe('MOUNT_POINT_NOT_EMPTY')
    expect(requests).toEqual([])
    expect(await readdir(`${base}/full`)).toEqual(['data'])
  })

  test('a missing parent at a later use: nothing is made in the place of a lost mount', async () => {
    const { base, ctx, create } = await setup(() => Promise.resolve())
    const backend = create({ mountPoint: `${base}/gone/pool` })
    expect(await reasonOf(backend.activate({ mode: 'resume' }, ctx))).toBe('POOL_PATH_MISSING')
    expect(await readdir(base)).not.toContain('gone')
  })

  test('nothing is mounted: the probe says so', async () => {
    const { ctx, create } = await setup(() => Promise.resolve())
    const probe = await create().probe(ctx)
    expect(probe).toMatchObject({ health: 'UNMOUNTED', reason: 'POOL_NOT_MOUNTED' })
    expect(probe.message).toMatch(/^nas:\/pool is not mounted at /)
  })
})

describe('a dead pool', () => {
  test('is not unmounted by force while another mount shares its connection', async () => {
    const base = await tempDirectory()
    const place = `${base}/place`
    const script = await setup(() => Promise.resolve(), [nfsEntry('/mnt/guests', { mountId: 901 }), nfsEntry(place)])
    script.mounter.unmount = (target, force) => {
      script.unmounts.push({ target, force })
      return Promise.reject(new AgentError('DEADLINE_EXCEEDED', 'umount did not finish'))
    }
    const backend = script.create({ mountPoint: place })
    await expect(backend.deactivate(script.ctx)).rejects.toMatchObject({
      reason: 'SERVER_NOT_ANSWERING',
      message: expect.stringContaining('/mnt/guests') as string,
    })
    expect(script.unmounts).toEqual([{ target: place, force: false }])
  })

  test('is unmounted by force when nothing shares it', async () => {
    const base = await tempDirectory()
    const place = `${base}/place`
    const script = await setup(() => Promise.resolve(), [nfsEntry(place)])
    const { unmount } = script.mounter
    script.mounter.unmount = async (target, force, signal) => {
      if (!force) throw new AgentError('DEADLINE_EXCEEDED', 'umount did not finish')
      await unmount(target, force, signal)
    }
    expect(await script.create({ mountPoint: place }).deactivate(script.ctx)).toBe('deactivated')
    expect(script.unmounts).toEqual([{ target: place, force: true }])
  })

  test('counts as unmounted when the mount is gone, although umount waits for the server’s goodbye', async () => {
    const base = await tempDirectory()
    const place = `${base}/place`
    const other = nfsEntry('/mnt/other', { mountId: 901, device: '0:98' })
    const script = await setup(() => Promise.resolve(), [other, nfsEntry(place)])
    script.mounter.unmount = () => {
      script.mounts.length = 1
      return Promise.reject(new AgentError('DEADLINE_EXCEEDED', 'umount did not finish'))
    }
    expect(await script.create({ mountPoint: place }).deactivate(script.ctx)).toBe('deactivated')
  })
})

describe('discovery of NFS pools', () => {
  const marker = (poolId: string) =>
    ({ version: 1, poolId, generation: 'g', kind: 'NFS', madeDirectory: false }) as const
  const search = async (mounts: MountEntry[], markers: Record<string, string>, wanted?: string) => {
    const { environment, base } = await setup(() => Promise.resolve())
    const place = (text: string) => text.replace('BASE', base)
    const facts = {
      ctx: { signal: AbortSignal.timeout(20_000), log: silentLogger },
      mounts: mounts.map((mount) => ({ ...mount, mountPoint: place(mount.mountPoint) })),
      guestPlaces: [],
      readMarker: (directory: string) => {
        const found = Object.entries(markers).find(([path]) => place(path) === directory)
        return Promise.resolve(found === undefined ? undefined : marker(found[1]))
      },
    }
    const found = (await nfsPools(environment).discover?.(facts, wanted)) ?? []
    return found.map(({ config, marked }) => [config.poolId, config.options['mountPoint'], marked, config.options])
  }

  test('a marker proves a pool wherever it is mounted', async () => {
    const [found] = await search([nfsEntry('/srv/nfs/x')], { '/srv/nfs/x': 'p7' }, 'p7')
    expect(found?.slice(0, 3)).toEqual(['p7', '/srv/nfs/x', true])
    expect(found?.[3]).toMatchObject({ server: 'nas', exportPath: '/pool', version: '4.1', options: '' })
  })

  test('the path of a default mount point proves it without one', async () => {
    const found = await search([nfsEntry('BASE/mnt/nfs-p7')], {})
    expect(found.map(([poolId, , marked]) => [poolId, marked])).toEqual([['p7', false]])
  })

  test('neither a directory nor a mount of another kind, nor a pool that was not asked for, is one', async () => {
    expect(await search([nfsEntry('/srv/nfs/x')], {})).toEqual([])
    expect(await search([nfsEntry('/srv/nfs/x', { fsType: 'ext4' })], { '/srv/nfs/x': 'p7' })).toEqual([])
    expect(await search([nfsEntry('/srv/nfs/x')], { '/srv/nfs/x': 'p7' }, 'p8')).toEqual([])
    expect(await search([nfsEntry('BASE/mnt/nfs-p7')], { 'BASE/mnt/nfs-p7': 'p8' }, 'p7')).toEqual([])
  })

  test('without an id all that show are found', async () => {
    const mounts = [nfsEntry('/srv/a'), nfsEntry('/srv/b'), nfsEntry('BASE/mnt/nfs-c')]
    const found = await search(mounts, { '/srv/a': 'a', '/srv/b': 'b' })
    expect(found.map(([poolId]) => poolId)).toEqual(['a', 'b', 'c'])
  })
})
