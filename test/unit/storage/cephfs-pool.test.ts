import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { MountRequest } from '../../../src/platform/mounter.ts'
import type { MountEntry } from '../../../src/platform/mounts.ts'
import { cephFsPools } from '../../../src/storage/backends/ceph-fs.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import { reasonOf, startAgent, tempDirectory } from './fixture.ts'
import { failing, scriptedMounter } from './scripted-mounter.ts'

const KEY = 'AQBuAgFrHmVsDxAAoT64T2sBD3za57nBFW34mw=='

afterEach(() => vi.unstubAllEnvs())

function cephEntry(mountPoint: string, change: Partial<MountEntry> = {}): MountEntry {
  return {
    ...{ mountId: 900, parentId: 1, device: '0:99', root: '/', mountPoint, options: 'rw,relatime', fsType: 'ceph' },
    ...{ source: '10.0.0.1:6789:/', superOptions: 'rw,name=fs,secret=<hidden>,recover_session=clean', ...change },
  }
}

async function setup(answer: (request: MountRequest) => Promise<void>, mounts: MountEntry[] = []) {
  const base = await tempDirectory()
  const { environment, ctx } = await startAgent(base)
  const script = scriptedMounter(answer, mounts)
  const mounting: StorageEnvironment = { ...environment, mounter: script.mounter }
  const create = (options: object = {}) =>
    cephFsPools(mounting).create({
      poolId: 'p1',
      kind: 'CEPH_FS',
      options: { monitors: ['10.0.0.1'], user: 'fs', keyringPath: `${base}/keyring`, ...options },
    })
  const tool = async (name: string, script: string) => {
    await mkdir(`${base}/bin`, { recursive: true })
    await writeFile(`${base}/bin/${name}`, `#!/bin/sh\n${script}\n`)
    await chmod(`${base}/bin/${name}`, 0o755)
    vi.stubEnv('PATH', `${base}/bin:${process.env['PATH'] ?? ''}`)
  }
  // The real one comes with ceph-common, which unit tests do not need; test/rig has it.
  await tool('ceph-authtool', `[ "$*" = "--name client.fs --print-key ${base}/keyring" ] && echo ${KEY}`)
  return { base, ctx, create, tool, environment: mounting, ...script }
}

describe('configuration of a CephFS pool', () => {
  test('is completed with defaults, so that equal requests compare equal', async () => {
    const { base, create } = await setup(() => Promise.resolve())
    const { config, mountPath } = create()
    expect(config.options).toEqual({
      ...{ clusterId: '', poolName: '', monitors: ['10.0.0.1:6789'], user: 'fs', keyringPath: `${base}/keyring` },
      ...{ namespace: '', secretUuid: '', path: '/', mountPoint: `${base}/mnt/cephfs-p1` },
    })
    expect(mountPath).toBe(`${base}/mnt/cephfs-p1`)
    expect(create(config.options).config).toEqual(config)
    expect(create({ monitors: ['10.0.0.1:6789', '10.0.0.1'], path: '//', user: 'client.fs' }).config).toEqual(config)
  })

  test.each([
    [{ monitors: [] }, /ceph\.monitors/],
    [{ monitors: undefined }, /ceph\.monitors/],
    [{ namespace: 'x' }, /ceph\.namespace/],
    [{ path: 'relative' }, /ceph\.path/],
    [{ path: '/a/../b' }, /ceph\.path/],
    [{ mountPoint: '/etc/pool' }, /ceph\.mount_point/],
    [{ surprise: 1 }, /surprise/],
  ])('refuses %j', async (options, text) => {
    const { create } = await setup(() => Promise.resolve())
    expect(() => create(options)).toThrow(text)
  })
})

describe('the key', () => {
  test('is in a private file while mount(8) runs and no longer, and in no argument', async () => {
    let seen: unknown[] = []
    const { base, ctx, create, requests } = await setup(async ({ options }) => {
      const file = options.find((option) => option.startsWith('secretfile='))?.slice('secretfile='.length) ?? ''
      seen = [await readFile(file, 'utf8'), (await stat(file)).mode & 0o777]
      await failing('mount error 13 = Permission denied')()
    })
    expect(await reasonOf(create().activate({ mode: 'initialise' }, ctx))).toBe('LOGIN_DENIED')
    expect(seen).toEqual([`${KEY}\n`, 0o600])
    expect(JSON.stringify(requests)).not.toContain(KEY)
    expect(await readdir(`${base}/state/secrets`)).toEqual([])
    expect(await readdir(`${base}/mnt`)).toEqual([])
  })

  test('that is missing keeps the pool from being mounted', async () => {
    const { base, ctx, create, requests } = await setup(() => Promise.resolve())
    await expect(create({ keyringPath: '/etc/none' }).activate({ mode: 'initialise' }, ctx)).rejects.toMatchObject({
      reason: 'POOL_CONFIG_INVALID',
      message: expect.stringMatching(/^ceph\.keyring_path: .*\/etc\/none/) as string,
    })
    expect(requests).toEqual([])
    expect(await readdir(`${base}/mnt`)).toEqual([])
  })

  test('that a killed agent left in its file goes with the next activation', async () => {
    const base = await tempDirectory()
    const script = await setup(() => Promise.resolve(), [cephEntry(`${base}/place`)])
    const secrets = script.environment.paths.secrets
    await mkdir(secrets, { recursive: true })
    await writeFile(`${secrets}/cephfs-p1.key`, KEY)
    await reasonOf(script.create({ mountPoint: `${base}/place` }).activate({ mode: 'resume' }, script.ctx))
    expect(await readdir(secrets)).toEqual([])
  })
})

describe('a mount that fails without saying why', () => {
  const LAGGY = failing('mount error: no mds server is up or the cluster is laggy')

  test.each([
    ['echo "[errno 13] RADOS permission denied (error connecting to the cluster)" >&2; exit 13', 'LOGIN_DENIED'],
    ['echo "timed out" >&2; exit 1', 'SERVER_NOT_ANSWERING'],
    [`echo '{"default_fscid":-1,"filesystems":[]}'`, 'CEPH_POOL_MISSING'],
  ])('is explained by the cluster: %s', async (answer, reason) => {
    const { base, ctx, create, tool } = await setup(LAGGY)
    await tool('ceph', answer)
    expect(await reasonOf(create().activate({ mode: 'initialise' }, ctx))).toBe(reason)
    expect(await readdir(`${base}/mnt`)).toEqual([])
  })
})

describe('discovery of CephFS pools', () => {
  const search = async (entry: MountEntry, kind: 'NFS' | 'CEPH_FS' | undefined, wanted?: string) => {
    const { environment } = await setup(() => Promise.resolve())
    const marker = kind && ({ version: 1, poolId: 'p7', generation: 'g', kind, madeDirectory: false } as const)
    const facts = {
      ctx: { signal: AbortSignal.timeout(20_000), log: silentLogger },
      mounts: [entry],
      guestPlaces: [],
      readMarker: () => Promise.resolve(marker),
    }
    return (await cephFsPools(environment).discover?.(facts, wanted)) ?? []
  }

  test('a marker proves a pool wherever it is mounted', async () => {
    const entry = cephEntry('/srv/x', {
      source: '10.0.0.1:6789,10.0.0.2:6789:/sub',
      superOptions: 'rw,name=fs,mds_namespace=tank',
    })
    expect(await search(entry, 'CEPH_FS', 'p7')).toEqual([
      {
        config: {
          poolId: 'p7',
          kind: 'CEPH_FS',
          options: {
            ...{ monitors: ['10.0.0.1:6789', '10.0.0.2:6789'], user: 'fs', poolName: 'tank', path: '/sub' },
            mountPoint: '/srv/x',
          },
        },
        marked: true,
      },
    ])
    expect(await search(entry, 'NFS', 'p7')).toEqual([])
    expect(await search(entry, undefined)).toEqual([])
  })
})
