import {
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { MIB } from '../../../src/core/bytes.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolFile } from '../../../src/core/model.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import type { VolumeSpec } from '../../../src/storage/backend.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { listFiles } from '../../support/browse.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { heldQemuImg, isThere, poolContents, tempBase, testEnvironment, tool } from './local-fixture.ts'

const missing = await requirePrerequisite(
  'local-pool',
  async () => missingRoot() ?? (await missingCommand('qemu-img', 'mount', 'umount')()),
)

const spec = (name: string, change: Partial<VolumeSpec> = {}): VolumeSpec => ({
  name,
  format: 'qcow2',
  sizeBytes: 64 * MIB,
  content: { type: 'empty' },
  owner: 'vm:1',
  ...change,
})

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    if (error instanceof AgentError) return error.reason
    throw error
  }
}

describe.skipIf(missing !== undefined)('faults of a local pool', () => {
  let base: string
  let root: string
  let ctx: OpContext
  let started: { pools: PoolManager; environment: StorageEnvironment }[]
  let mounts: string[]

  beforeEach(async () => {
    base = await tempBase()
    root = `${base}/pool`
    ctx = { signal: AbortSignal.timeout(100_000), log: silentLogger }
    started = []
    mounts = []
  })
  afterEach(async () => {
    for (const { pools, environment } of started) {
      pools.stop()
      environment.io.close()
    }
    for (const mount of mounts.reverse()) await tool('umount', '-l', mount)
    await rm(base, { recursive: true })
  })

  // An agent on the state directory; the second one in a test is the agent after a restart.
  const agent = async () => {
    const environment = testEnvironment(base)
    const store = openStateStore(`${base}/state`, silentLogger).collection<PoolRecord>('pools')
    const pools = new PoolManager({ factories: poolBackends(environment), environment, store, probePeriodMs: 200 })
    started.push({ pools, environment })
    await pools.start()
    return { pools, environment, volumes: createVolumeManager(pools) }
  }
  const config = () => ({ poolId: 'p1', kind: 'LOCAL_DIR', options: { path: root } }) as const
  const mountTmpfs = async (place: string, size: string) => {
    await mkdir(place, { recursive: true })
    await tool('mount', '-t', 'tmpfs', '-o', `size=${size},mode=711`, 'tmpfs', place)
    mounts.push(place)
  }
  const untilHealth = async (pools: PoolManager, pattern: RegExp) => {
    while (!pattern.test(pools.list()[0]?.observation.health ?? '')) {
      ctx.signal.throwIfAborted()
      await new Promise((resolve) => setImmediate(resolve))
    }
    return pools.list()[0]?.observation
  }

  describe('a full disk', () => {
    test('fails a copy with POOL_FULL and leaves nothing of it', async () => {
      await mountTmpfs(root, '8m')
      const { pools, volumes } = await agent()
      await pools.init(config(), ctx)
      await tool('sh', '-c', `head -c 24M /dev/urandom > ${base}/image.raw`)
      const content = { type: 'copy', source: { type: 'file', path: `${base}/image.raw`, format: 'raw' } } as const
      expect(await reasonOf(volumes.create('p1', spec('disk', { content }), ctx))).toBe('POOL_FULL')
      const { backend } = await pools.require('p1', ctx)
      const copied = backend.createVolume(spec('disk', { content }), ctx)
      await expect(copied).rejects.toMatchObject({
        reason: 'POOL_FULL',
        message: expect.stringMatching(
          /^pool p1 is full: it holds [78]\.\d MiB of 8\.0 MiB, \d+(\.\d KiB| B) are left, and volume disk needs 2\d\.\d MiB; free space, or add space to it$/,
        ) as string,
        details: { totalBytes: String(8 * MIB), neededBytes: expect.any(String) as string },
      })
      expect(await poolContents(root)).toEqual([])
      expect((await volumes.create('p1', spec('disk'), ctx)).name).toBe('disk')
    })

    test('is a warning, not a sick pool: what is there is listed, read and deleted', async () => {
      await mountTmpfs(root, '8m')
      const { pools, volumes, environment } = await agent()
      await pools.init(config(), ctx)
      await volumes.create('p1', spec('disk'), ctx)
      await tool('sh', '-c', `cat /dev/zero > ${root}/filler || true`)
      const { backend } = await pools.require('p1', ctx)
      expect(await backend.probe(ctx)).toMatchObject({ health: 'HEALTHY', reason: 'POOL_FULL', volumeCount: 1 })
      const full = {
        reason: 'POOL_FULL',
        message: expect.stringMatching(/^pool p1 is full: .* volume \w+ needs /) as string,
      }
      await expect(backend.createVolume(spec('other'), ctx)).rejects.toMatchObject(full)
      await expect(backend.snapshots?.create('disk', 'before', ctx)).rejects.toMatchObject(full)
      expect(await backend.listVolumes(ctx)).toHaveLength(1)
      pools.stop()
      environment.io.close()
      // Also for an agent that starts on the full disk.
      const later = await agent()
      await later.pools.observedOnce(ctx.signal)
      expect(later.pools.list()[0]?.observation).toMatchObject({ health: 'HEALTHY', reason: 'POOL_FULL' })
      expect(await later.volumes.delete('p1', 'disk', ctx)).toBe('deleted')
    })

    test('refuses a new pool and leaves no marker behind', async () => {
      await mountTmpfs(`${base}/small`, '64k')
      await tool('sh', '-c', `cat /dev/zero > ${base}/small/filler || true`)
      root = `${base}/small/pool`
      const { pools } = await agent()
      expect(await reasonOf(pools.init(config(), ctx))).toBe('POOL_FULL')
      expect(await readdir(`${base}/small`)).toEqual(['filler'])
    })
  })

  test('a read-only file system makes the pool degraded, and reading goes on', async () => {
    await mountTmpfs(root, '8m')
    const before = await agent()
    await before.pools.init(config(), ctx)
    await before.volumes.create('p1', spec('disk'), ctx)
    before.pools.stop()
    await tool('mount', '-o', 'remount,ro', root)
    const { pools, volumes } = await agent()
    const observation = await untilHealth(pools, /DEGRADED/)
    expect(observation).toMatchObject({ reason: 'POOL_NOT_WRITABLE', volumeCount: 1 })
    expect(await volumes.list('p1', ctx)).toHaveLength(1)
    expect(await reasonOf(volumes.create('p1', spec('other'), ctx))).toBe('POOL_NOT_WRITABLE')
  })

  test('a marker that was swapped stops all writing at once, and the pool is reported', async () => {
    const { pools, volumes, environment } = await agent()
    await pools.init(config(), ctx)
    const marker = `${root}/.limiquantix-pool.json`
    const right = await readFile(marker, 'utf8')
    await writeFile(marker, right.replace('"p1"', '"p2"'))
    expect(['POOL_IDENTITY_MISMATCH', 'POOL_UNAVAILABLE']).toContain(
      await reasonOf(volumes.create('p1', spec('disk'), ctx)),
    )
    expect(await untilHealth(pools, /ERROR/)).toMatchObject({ reason: 'POOL_IDENTITY_MISMATCH' })
    expect(await reasonOf(listFiles({ pools, environment, ctx }, 'p1', ''))).toBe('POOL_UNAVAILABLE')
    expect(await poolContents(root)).toEqual([])
    await writeFile(marker, right)
    await untilHealth(pools, /HEALTHY/)
    expect((await volumes.create('p1', spec('disk'), ctx)).name).toBe('disk')
  })

  test('a directory that is removed is reported, not made again, and taken up when it is back', async () => {
    const { pools } = await agent()
    await pools.init(config(), ctx)
    await rename(root, `${base}/aside`)
    expect(await untilHealth(pools, /UNMOUNTED/)).toMatchObject({ reason: 'POOL_PATH_MISSING' })
    expect(await isThere(root)).toBe(false)
    await rename(`${base}/aside`, root)
    await untilHealth(pools, /HEALTHY/)
  })

  test('a disk that was mounted again is the same pool', async () => {
    await mkdir(`${base}/disk`)
    await mkdir(root)
    await tool('mount', '--bind', `${base}/disk`, root)
    const { pools, volumes } = await agent()
    await pools.init(config(), ctx)
    // Lazily: a probe may be looking at it.
    await tool('umount', '-l', root)
    expect(await untilHealth(pools, /ERROR/)).toMatchObject({ reason: 'POOL_IDENTITY_MISMATCH' })
    expect(await readdir(root)).toEqual([])
    await tool('mount', '--bind', `${base}/disk`, root)
    mounts.push(root)
    await untilHealth(pools, /HEALTHY/)
    await volumes.create('p1', spec('disk'), ctx)
    expect(await isThere(`${base}/disk/disk.qcow2`)).toBe(true)
  })

  test('a copy of the marker on another mount does not let work through that began on the first one', async () => {
    const { pools, environment } = await agent()
    await pools.init(config(), ctx)
    const { guard } = await pools.require('p1', ctx)
    if (guard === undefined) throw new Error('a local pool has a guard')
    const marker = await readFile(`${root}/.limiquantix-pool.json`)
    await mountTmpfs(root, '1m')
    await writeFile(`${root}/.limiquantix-pool.json`, marker)
    const target = { poolId: 'p1', isolation: 'common' } as const
    const params = { guard, spec: spec('disk'), node: environment.nodeId }
    const claim = environment.io.call(target, 'claimVolume', params, { signal: ctx.signal })
    expect(await reasonOf(claim)).toBe('POOL_IDENTITY_MISMATCH')
    expect(await poolContents(root)).toEqual([])
  })

  test('a mount that vanishes while qemu-img is about to write takes the bytes with it: none lands below', async () => {
    await mkdir(`${base}/disk`)
    await mkdir(root)
    await tool('mount', '--bind', `${base}/disk`, root)
    const { pools, volumes } = await agent()
    await pools.init(config(), ctx)
    const held = await heldQemuImg(base)
    const outcome = reasonOf(volumes.create('p1', spec('disk'), ctx))
    await held.reached
    await tool('umount', '-l', root)
    await held.goOn()
    expect(['POOL_IDENTITY_MISMATCH', 'POOL_UNAVAILABLE']).toContain(await outcome)
    held.end()
    expect(await readdir(root)).toEqual([])
    await untilHealth(pools, /ERROR/)
    // Mounted again, the pool is free of what could not be finished.
    await tool('mount', '--bind', `${base}/disk`, root)
    mounts.push(root)
    await untilHealth(pools, /HEALTHY/)
    expect(await poolContents(root)).toEqual([])
    expect((await volumes.create('p1', spec('disk'), ctx)).name).toBe('disk')
  })

  describe('an agent killed in the middle of a creation', () => {
    const claimed = async () => {
      const { pools, environment } = await agent()
      await pools.init(config(), ctx)
      const { guard, config: known } = await pools.require('p1', ctx)
      if (guard === undefined) throw new Error('a local pool has a guard')
      const target = { poolId: known.poolId, isolation: 'common' } as const
      const params = { guard, spec: spec('vms/a/disk'), node: environment.nodeId }
      const claim = await environment.io.call(target, 'claimVolume', params, { signal: ctx.signal })
      if (claim.outcome !== 'claimed') throw new Error('the volume should be new')
      await tool('qemu-img', 'create', '-q', '-f', 'qcow2', claim.writePath, String(64 * MIB))
      pools.stop()
      environment.io.close()
      return claim
    }

    test('before the volume had its name: the next start removes every trace', async () => {
      await claimed()
      expect((await poolContents(root)).length).toBeGreaterThan(0)
      const { pools } = await agent()
      await pools.observedOnce(ctx.signal)
      expect(await poolContents(root)).toEqual([])
    })

    test('after it had its name: the next start completes it', async () => {
      const { temp } = await claimed()
      await link(`${root}/vms/a/${temp}`, `${root}/vms/a/disk.qcow2`)
      const { pools, volumes } = await agent()
      await pools.observedOnce(ctx.signal)
      expect(await volumes.list('p1', ctx)).toMatchObject([{ name: 'vms/a/disk', virtualSizeBytes: 64 * MIB }])
      expect(await readdir(`${root}/vms/a`)).toEqual(['disk.qcow2'])
    })

    test('and a foreign file came into the place: it stays, the unfinished one goes', async () => {
      await claimed()
      await writeFile(`${root}/vms/a/disk.qcow2`, 'precious')
      const { pools, volumes } = await agent()
      await pools.observedOnce(ctx.signal)
      expect(await readdir(`${root}/vms/a`)).toEqual(['disk.qcow2'])
      expect(await readFile(`${root}/vms/a/disk.qcow2`, 'utf8')).toBe('precious')
      expect(await volumes.list('p1', ctx)).toEqual([])
    })

    test('in the middle of a record: what that left goes when nobody can be writing it any more', async () => {
      const { pools, environment } = await agent()
      await pools.init(config(), ctx)
      pools.stop()
      environment.io.close()
      const records = `${root}/.limiquantix/volumes`
      for (const name of ['.old.lqxtmp', '.young.lqxtmp']) await writeFile(`${records}/${name}`, '')
      await utimes(`${records}/.old.lqxtmp`, new Date(), new Date(Date.now() - 2 * 3_600_000))
      const later = await agent()
      await later.pools.observedOnce(ctx.signal)
      expect(await poolContents(root)).toEqual(['.limiquantix/volumes/.young.lqxtmp'])
    })

    test('work of another host on the same storage is left alone', async () => {
      const { pools, environment } = await agent()
      await pools.init(config(), ctx)
      const { guard } = await pools.require('p1', ctx)
      if (guard === undefined) throw new Error('a local pool has a guard')
      const target = { poolId: 'p1', isolation: 'common' } as const
      const params = { guard, spec: spec('disk'), node: 'another-host' }
      await environment.io.call(target, 'claimVolume', params, { signal: ctx.signal })
      const before = await poolContents(root)
      const later = await agent()
      await later.pools.observedOnce(ctx.signal)
      expect(await poolContents(root)).toEqual(before)
      expect(await reasonOf(later.volumes.create('p1', spec('disk'), ctx))).toBe('CONFLICT')
    })
  })

  describe('containment', () => {
    test('a symbolic link in the path of a volume is not followed', async () => {
      const { pools, volumes } = await agent()
      await pools.init(config(), ctx)
      await mkdir(`${base}/outside`)
      await symlink(`${base}/outside`, `${root}/vms`)
      expect(await reasonOf(volumes.create('p1', spec('vms/disk'), ctx))).toBe('INVALID_PATH')
      expect(await readdir(`${base}/outside`)).toEqual([])
    })

    test('a link in the place of a volume is foreign, and its target is untouched', async () => {
      const { pools, volumes } = await agent()
      await pools.init(config(), ctx)
      await writeFile(`${base}/target`, 'precious')
      await symlink(`${base}/target`, `${root}/disk.qcow2`)
      expect(await reasonOf(volumes.create('p1', spec('disk'), ctx))).toBe('DISK_FILE_FOREIGN')
      expect(await readFile(`${base}/target`, 'utf8')).toBe('precious')
    })

    test('another mount inside the pool is not entered', async () => {
      const { pools, volumes, environment } = await agent()
      await pools.init(config(), ctx)
      await mountTmpfs(`${root}/vms`, '1m')
      expect(await reasonOf(listFiles({ pools, environment, ctx }, 'p1', 'vms'))).toBe('INVALID_PATH')
      expect(await reasonOf(volumes.create('p1', spec('vms/disk'), ctx))).toBe('INVALID_PATH')
      expect(await readdir(`${root}/vms`)).toEqual([])
    })
  })

  describe('overlays', () => {
    test('state their backing file and its format, and have the size that was asked for', async () => {
      const { pools, volumes } = await agent()
      await pools.init(config(), ctx)
      const image = `${base}/image.qcow2`
      await tool('qemu-img', 'create', '-q', '-f', 'qcow2', image, '32M')
      const content = { type: 'overlay', path: image, format: 'qcow2' } as const
      const { source } = await volumes.create('p1', spec('disk', { content }), ctx)
      if (source.type !== 'file') throw new Error('a local volume is a file')
      const info = JSON.parse(await tool('qemu-img', 'info', '--output=json', source.path)) as Record<string, unknown>
      expect(info).toMatchObject({
        'virtual-size': 64 * MIB,
        'backing-filename': image,
        'backing-filename-format': 'qcow2',
      })
      expect((await lstat(source.path)).mode & 0o777).toBe(0o600)
    })

    test.each([
      ['missing', 'BACKING_FILE_MISSING', () => Promise.resolve()],
      [
        'larger than the volume',
        'VOLUME_TOO_SMALL',
        () => tool('qemu-img', 'create', '-q', '-f', 'qcow2', image(), '1G'),
      ],
      [
        'not of the stated format',
        'IMAGE_NOT_AN_IMAGE',
        () => writeFile(image(), '<html>not an image</html>'.repeat(99)),
      ],
    ])('on an image that is %s are refused before anything is made', async (_what, reason, prepare) => {
      const { pools, volumes } = await agent()
      await pools.init(config(), ctx)
      await prepare()
      const content = { type: 'overlay', path: image(), format: 'qcow2' } as const
      expect(await reasonOf(volumes.create('p1', spec('vms/a/disk', { content }), ctx))).toBe(reason)
      expect(await poolContents(root)).toEqual([])
    })
    const image = () => `${base}/image.qcow2`

    test('keep their backing volume from being deleted', async () => {
      const { pools, volumes } = await agent()
      await pools.init(config(), ctx)
      const { source } = await volumes.create('p1', spec('base'), ctx)
      if (source.type !== 'file') throw new Error('a local volume is a file')
      const content = { type: 'overlay', path: source.path, format: 'qcow2' } as const
      await volumes.create('p1', spec('disk', { content }), ctx)
      expect(await reasonOf(volumes.delete('p1', 'base', ctx))).toBe('VOLUME_IN_USE')
      await volumes.delete('p1', 'disk', ctx)
      expect(await volumes.delete('p1', 'base', ctx)).toBe('deleted')
    })
  })

  test('a copy has the content of its source and the size that was asked for', async () => {
    const { pools, volumes } = await agent()
    await pools.init(config(), ctx)
    await tool('sh', '-c', `head -c 1M /dev/urandom > ${base}/image.raw`)
    const content = { type: 'copy', source: { type: 'file', path: `${base}/image.raw`, format: 'raw' } } as const
    const { source, virtualSizeBytes } = await volumes.create('p1', spec('disk', { content }), ctx)
    if (source.type !== 'file') throw new Error('a local volume is a file')
    expect(virtualSizeBytes).toBe(64 * MIB)
    await tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', source.path, `${base}/back.raw`)
    await tool('cmp', '-n', String(MIB), `${base}/image.raw`, `${base}/back.raw`)
  })

  test('an open file keeps the pool from being destroyed, and its process is named', async () => {
    const { pools } = await agent()
    await pools.init(config(), ctx)
    await writeFile(`${root}/held`, '')
    const other = (await tool('sh', '-c', `tail -f ${root}/held >/dev/null 2>&1 & echo $!`)).trim()
    try {
      // tail opens the file some time after it was started.
      while (!(await openFilesOf(other)).includes(`${root}/held`)) ctx.signal.throwIfAborted()
      await expect(pools.destroy('p1', ctx)).rejects.toThrow(`process tail (pid ${other})`)
    } finally {
      process.kill(Number(other))
    }
  })

  test('100,000 files are listed in order while the event loop goes on turning', async () => {
    await mountTmpfs(root, '512m')
    const { pools, environment } = await agent()
    await pools.init(config(), ctx)
    await tool('sh', '-c', `mkdir ${root}/big && cd ${root}/big && seq -f 'file-%06.0f.iso' 100000 | xargs touch`)
    let turns = 0
    let listing = true
    const spin = () => {
      turns++
      if (listing) setImmediate(spin)
    }
    spin()
    const files = await listFiles({ pools, environment, ctx }, 'p1', 'big')
    listing = false
    expect(files).toHaveLength(100_000)
    expect(files.at(0)?.name).toBe('file-000001.iso')
    expect(files.at(-1)).toMatchObject({ name: 'file-100000.iso', fileType: 'iso' } satisfies Partial<PoolFile>)
    // At least one turn between every two of the hundred batches.
    expect(turns).toBeGreaterThan(100)
  })
})

async function openFilesOf(pid: string): Promise<string[]> {
  const fds = await readdir(`/proc/${pid}/fd`)
  return Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
}
