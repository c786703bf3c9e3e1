import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpContext } from '../../src/core/context.ts'
import { GIB, MIB } from '../../src/core/bytes.ts'
import { AgentError } from '../../src/core/errors.ts'
import { placeOf, type PoolConfig, type DiskFormat } from '../../src/core/model.ts'
import type { PoolBackend, PoolBackendFactory, VolumeSpec } from '../../src/storage/backend.ts'
import type { StorageEnvironment } from '../../src/storage/environment.ts'
import type { PoolRecord } from '../../src/storage/pool-entry.ts'
import { PoolManager } from '../../src/storage/pool-manager.ts'
import { createVolumeManager } from '../../src/storage/volume-manager.ts'
import { memoryCollection } from './memory-state.ts'
import { recordingLogger } from './recording-logger.ts'
import { IMAGE_BYTES, qemuVolumeBytes, type VolumeBytes } from './volume-bytes.ts'

/** Creation that stands still in its middle until it is aborted. */
export interface Stall {
  /** Resolves when a creation has reached the middle. */
  readonly reached: Promise<void>
  end(): Promise<void>
}

/** Real storage of one type, prepared for one test; what the suite needs to do to it behind the backend's back. */
export interface PoolFixture {
  readonly factory: PoolBackendFactory
  readonly environment: StorageEnvironment
  readonly config: PoolConfig
  /** The same place under another pool id. */
  readonly rival: PoolConfig
  /** Texts of the configuration that must never be seen. */
  readonly secrets: readonly string[]
  /** How to get at the bytes of volumes; absent where qemu-io in this process's world does. */
  readonly bytes?: VolumeBytes
  /** Everything that is stored for volumes, finished or not, in an order that compares. */
  contents(): Promise<string[]>
  /** Puts something that the agent did not make where volume `name` would be. */
  plantForeign(name: string): Promise<void>
  /** Takes the storage away, and gives it back. */
  takeAway(): Promise<void>
  giveBack(): Promise<void>
  stall(): Promise<Stall>
  close(): Promise<void>
}

/** Storage that is not there. */
const GONE = ['POOL_PATH_MISSING', 'POOL_IDENTITY_MISMATCH', 'DEVICE_MISSING', 'CEPH_POOL_MISSING']

const HOSTILE_NAMES = [
  '',
  '.',
  '..',
  '../escape',
  'a/../../escape',
  '/etc/passwd',
  'a//b',
  'a/',
  '.hidden',
  'nul\0byte',
  'new\nline',
  'sp ace',
  '<xml>&"',
  "quo'te",
  '$(reboot)',
  '-f',
  'a'.repeat(300),
  'ü',
  '.limiquantix/volumes/x',
]

/** Runs every promise of the storage contract (architecture.md 5) against one backend; without `volumes` those about the pool alone. */
export function describePoolBackend(title: string, open: () => Promise<PoolFixture>, { volumes = true } = {}): void {
  describe(`pool backend: ${title}`, () => {
    let fixture: PoolFixture
    let backend: PoolBackend
    let bytes: VolumeBytes
    let ctx: OpContext
    const log = recordingLogger()
    const errors: string[] = []

    beforeEach(async ({ signal }) => {
      log.lines.length = 0
      errors.length = 0
      fixture = await open()
      bytes = fixture.bytes ?? qemuVolumeBytes()
      // Only against a hang, with the test: emulated hosts need minutes for some.
      ctx = { signal, log }
      backend = fixture.factory.create(fixture.config)
    })
    afterEach(async () => {
      await bytes.close()
      await fixture.close()
      for (const secret of fixture.secrets) {
        expect(log.lines.join('\n'), 'secret in the log').not.toContain(secret)
        expect(errors.join('\n'), 'secret in an error').not.toContain(secret)
      }
    })

    const spec = (name: string, change: Partial<VolumeSpec> = {}): VolumeSpec => ({
      name,
      format: fixture.factory.traits.formats.includes('qcow2') ? 'qcow2' : 'raw',
      sizeBytes: 64 * MIB,
      content: { type: 'empty' },
      owner: 'vm:1',
      ...change,
    })
    const reason = async (work: Promise<unknown>): Promise<string> => {
      try {
        await work
        return 'no error'
      } catch (error) {
        if (!(error instanceof AgentError)) throw error
        errors.push(JSON.stringify({ message: error.message, details: error.details }))
        return error.reason
      }
    }
    const activate = () => backend.activate({ mode: 'initialise' }, ctx)
    const clone = (name: string, volume: string, snapshot?: string): VolumeSpec =>
      spec(name, { content: { type: 'clone', volume, ...(snapshot === undefined ? {} : { snapshot }) } })
    const sourceOf = (name: string) => backend.diskSource(name, ctx)
    const write = async (name: string, block: number, value: number) =>
      bytes.write(await sourceOf(name), block, value, ctx)
    const read = async (name: string, count: number) => bytes.read(await sourceOf(name), count, ctx)

    test('activates once and says so the second time', async () => {
      expect((await activate()).outcome).toBe('activated')
      expect((await activate()).outcome).toBe('already-active')
    })

    test('deactivates once and says so the second time', async () => {
      await activate()
      expect(await backend.deactivate(ctx)).toBe('deactivated')
      expect(await backend.deactivate(ctx)).toBe('already-inactive')
    })

    test('is found again by another process with all its volumes', async () => {
      const { guard } = await activate()
      await backend.createVolume(spec('disk'), ctx)
      await backend.deactivate(ctx)
      const later = fixture.factory.create(fixture.config)
      const generation = guard === undefined ? {} : { generation: guard.generation }
      await later.activate({ mode: 'resume', ...generation }, ctx)
      expect((await later.listVolumes(ctx)).map(({ name }) => name)).toEqual(['disk'])
    })

    test('refuses storage that holds another pool, and leaves it as it is', async () => {
      await activate()
      await backend.createVolume(spec('disk'), ctx)
      const before = await fixture.contents()
      const rival = fixture.factory.create(fixture.rival)
      expect(await reason(rival.activate({ mode: 'initialise' }, ctx))).toBe('POOL_IDENTITY_MISMATCH')
      expect(await reason(rival.activate({ mode: 'resume' }, ctx))).toBe('POOL_IDENTITY_MISMATCH')
      expect(await fixture.contents()).toEqual(before)
    })

    test('does not resume storage that is gone, makes nothing in its place, and resumes when it is back', async () => {
      await activate()
      await backend.deactivate(ctx)
      await fixture.takeAway()
      expect(GONE).toContain(await reason(backend.activate({ mode: 'resume' }, ctx)))
      await fixture.giveBack()
      expect((await backend.activate({ mode: 'resume' }, ctx)).outcome).toBe('activated')
    })

    test('a probe of storage that is gone says so and does not throw', async () => {
      await activate()
      expect((await backend.probe(ctx)).health).toBe('HEALTHY')
      await fixture.takeAway()
      const probe = await backend.probe(ctx)
      expect(probe.health).toMatch(/^(ERROR|UNMOUNTED)$/)
      expect(probe.message).not.toBe('')
      await fixture.giveBack()
    })

    test('a probe before activation does not throw', async () => {
      expect((await backend.probe(ctx)).health).not.toBe('HEALTHY')
    })

    test('writes nothing while the storage is gone', async () => {
      await activate()
      await fixture.takeAway()
      expect(GONE).toContain(await reason(backend.createVolume(spec('disk'), ctx)))
      await fixture.giveBack()
      expect(await fixture.contents()).toEqual([])
    })

    const ofVolumes = () => {
      test('create, get, list and diskSource agree', async () => {
        await activate()
        const made = await backend.createVolume(spec('vms/web_1/disk-0'), ctx)
        expect(made).toMatchObject({
          name: 'vms/web_1/disk-0',
          virtualSizeBytes: 64 * MIB,
          poolId: fixture.config.poolId,
        })
        expect(await backend.getVolume('vms/web_1/disk-0', ctx)).toEqual(made)
        expect(await backend.listVolumes(ctx)).toEqual([made])
        expect(await backend.diskSource('vms/web_1/disk-0', ctx)).toEqual(made.source)
        expect((await backend.probe(ctx)).volumeCount).toBe(1)
      })

      test('knows the places of its volumes, there or not, from others', async () => {
        await activate()
        const { source } = await backend.createVolume(spec('disk'), ctx)
        await backend.deleteVolume('disk', ctx)
        // A backend on the rig answers with a promise.
        const holds = (place: string) => Promise.resolve(backend.holds(place))
        expect(await holds(placeOf(source))).toBe(true)
        for (const place of ['/etc/passwd', '/dev/vda', 'rbd:elsewhere/disk']) expect(await holds(place)).toBe(false)
      })

      test('a missing volume is undefined, and has no disk source', async () => {
        await activate()
        expect(await backend.getVolume('nothing', ctx)).toBeUndefined()
        expect(await reason(backend.diskSource('nothing', ctx))).toBe('VOLUME_NOT_FOUND')
      })

      test('the same spec again is the same volume', async () => {
        await activate()
        const first = await backend.createVolume(spec('disk'), ctx)
        const contents = await fixture.contents()
        expect(await backend.createVolume(spec('disk'), ctx)).toEqual(first)
        expect(await fixture.contents()).toEqual(contents)
      })

      test.each([
        ['size', { sizeBytes: 128 * MIB }],
        ['owner', { owner: 'vm:2' }],
      ] as const)('another %s under the same name is a conflict', async (_what, change) => {
        await activate()
        const first = await backend.createVolume(spec('disk'), ctx)
        expect(await reason(backend.createVolume(spec('disk', change), ctx))).toBe('VOLUME_CONFLICT')
        expect(await backend.getVolume('disk', ctx)).toEqual(first)
      })

      test('something foreign in the place of a volume is neither overwritten nor deleted', async () => {
        await activate()
        await fixture.plantForeign('disk')
        const before = await fixture.contents()
        expect(['DISK_FILE_FOREIGN', 'VOLUME_CONFLICT']).toContain(
          await reason(backend.createVolume(spec('disk'), ctx)),
        )
        expect(await backend.deleteVolume('disk', ctx, 'vm:1')).toBe('already-deleted')
        expect(await reason(backend.deleteVolume('disk', ctx))).toBe('DISK_FILE_FOREIGN')
        expect(await fixture.contents()).toEqual(before)
        expect(await backend.listVolumes(ctx)).toEqual([])
      })

      test('deleting twice is success and leaves nothing', async () => {
        await activate()
        await backend.createVolume(spec('vms/a/disk'), ctx)
        expect(await backend.deleteVolume('vms/a/disk', ctx)).toBe('deleted')
        expect(await backend.deleteVolume('vms/a/disk', ctx)).toBe('already-deleted')
        expect(await fixture.contents()).toEqual([])
      })

      test('with an owner, only its own volume is deleted, or one of an owner beneath it', async () => {
        await activate()
        await backend.createVolume(spec('disk'), ctx)
        for (const other of ['vm:2', 'vm:1:part', 'v']) {
          expect(await backend.deleteVolume('disk', ctx, other)).toBe('already-deleted')
          expect(await backend.getVolume('disk', ctx)).toBeDefined()
        }
        expect(await backend.deleteVolume('disk', ctx, 'vm:1')).toBe('deleted')
        await backend.createVolume(spec('disk', { owner: 'vm:1:part' }), ctx)
        expect(await backend.deleteVolume('disk', ctx, 'vm:1')).toBe('deleted')
      })

      test('refuses names that are none, everywhere', async () => {
        await activate()
        for (const name of HOSTILE_NAMES) {
          const refused = [
            await reason(backend.createVolume(spec(name), ctx)),
            await reason(backend.getVolume(name, ctx)),
            await reason(backend.deleteVolume(name, ctx)),
            await reason(backend.diskSource(name, ctx)),
          ]
          expect(new Set(refused), JSON.stringify(name)).toEqual(new Set(['INVALID_NAME']))
        }
        expect(await fixture.contents()).toEqual([])
      })

      test('of two creations at once that differ, one wins', async () => {
        await activate()
        const attempts = ['vm:1', 'vm:2', 'vm:3'].map((owner) =>
          reason(backend.createVolume(spec('disk', { owner }), ctx)),
        )
        expect((await Promise.all(attempts)).sort()).toEqual(['VOLUME_CONFLICT', 'VOLUME_CONFLICT', 'no error'])
        expect(await backend.listVolumes(ctx)).toHaveLength(1)
      })

      test('creations at once that agree give one volume', async () => {
        await activate()
        const [one, other] = await Promise.all([
          backend.createVolume(spec('disk'), ctx),
          backend.createVolume(spec('disk'), ctx),
        ])
        expect(one).toEqual(other)
      })

      test('an abort in the middle leaves nothing, and the name is free', async () => {
        await activate()
        const stall = await fixture.stall()
        const controller = new AbortController()
        const making = backend.createVolume(spec('vms/b/disk'), { ...ctx, signal: controller.signal })
        const outcome = reason(making)
        await stall.reached
        expect(await fixture.contents()).not.toEqual([])
        controller.abort(new AgentError('CANCELLED', 'the test gave up'))
        expect(await outcome).toBe('CANCELLED')
        await stall.end()
        expect(await fixture.contents()).toEqual([])
        expect((await backend.createVolume(spec('vms/b/disk', { owner: 'vm:2' }), ctx)).name).toBe('vms/b/disk')
      })

      test('resize grows, repeats without harm, and does not shrink', async (test) => {
        if (backend.resize === undefined) test.skip('the backend does not resize')
        await activate()
        await backend.createVolume(spec('disk'), ctx)
        expect((await backend.resize?.('disk', GIB, ctx))?.virtualSizeBytes).toBe(GIB)
        expect((await backend.resize?.('disk', GIB, ctx))?.virtualSizeBytes).toBe(GIB)
        expect(await reason(backend.resize?.('disk', MIB, ctx) ?? Promise.resolve())).toBe('VOLUME_TOO_SMALL')
        // As it was asked for, whatever it grew to since.
        expect((await backend.createVolume(spec('disk'), ctx)).virtualSizeBytes).toBe(GIB)
      })

      test('refuses a format that its volumes do not have', async () => {
        const { formats } = backend.traits
        // Where all known ones are made, one that a caller without types could send.
        const unknown = 'vmdk' as DiskFormat
        const other = (['qcow2', 'raw'] as const).find((format) => !formats.includes(format)) ?? unknown
        await activate()
        expect(await reason(backend.createVolume(spec('disk', { format: other }), ctx))).toBe('INVALID_REQUEST')
        expect(await fixture.contents()).toEqual([])
      })

      test('a clone has the bytes of its source and neither sees what is written to the other', async () => {
        await activate()
        await backend.createVolume(spec('disk'), ctx)
        await write('disk', 0, 1)
        const wanted = { ...clone('copy', 'disk'), sizeBytes: 128 * MIB }
        const made = await backend.createVolume(wanted, ctx)
        expect(made.virtualSizeBytes).toBe(128 * MIB)
        await write('copy', 0, 2)
        await write('disk', 1, 3)
        expect(await read('copy', 2)).toEqual([2, 0])
        expect(await read('disk', 2)).toEqual([1, 3])

        // Where the clone needs its source, the source stays; else the clone lives on.
        const deleted = await reason(backend.deleteVolume('disk', ctx))
        expect(['no error', 'VOLUME_IN_USE']).toContain(deleted)
        expect(await read('copy', 1)).toEqual([2])
        expect((await backend.createVolume(wanted, ctx)).source).toEqual(made.source)
        expect(await backend.deleteVolume('copy', ctx)).toBe('deleted')
        await backend.deleteVolume('disk', ctx)
        expect(await fixture.contents()).toEqual([])
      })

      test('refuses a clone of nothing, and one that is smaller than its source', async () => {
        await activate()
        expect(await reason(backend.createVolume(clone('copy', 'nothing'), ctx))).toBe('VOLUME_NOT_FOUND')
        expect(await fixture.contents()).toEqual([])
        await backend.createVolume(spec('disk'), ctx)
        const before = await fixture.contents()
        const small = { ...clone('copy', 'disk'), sizeBytes: 32 * MIB }
        expect(await reason(backend.createVolume(small, ctx))).toBe('VOLUME_TOO_SMALL')
        expect(await fixture.contents()).toEqual(before)
      })

      test.each(['raw', 'qcow2'] as const)('copies a %s image into a volume that has more room', async (format) => {
        await activate()
        const source = await bytes.image(format, 5, ctx)
        const copy = spec('images/base', { content: { type: 'copy', source }, owner: 'image:1' })
        const small = { ...copy, sizeBytes: IMAGE_BYTES / 2 }
        expect(await reason(backend.createVolume(small, ctx))).toBe('VOLUME_TOO_SMALL')
        expect(await fixture.contents()).toEqual([])
        const made = await backend.createVolume(copy, ctx)
        expect(made.virtualSizeBytes).toBe(64 * MIB)
        expect(await read('images/base', 2)).toEqual([5, 0])
        expect(await backend.createVolume(copy, ctx)).toEqual(made)
      })

      test('refuses to copy an image that is missing', async () => {
        await activate()
        const source = { type: 'file', path: '/nowhere/image.raw', format: 'raw' } as const
        const copy = spec('images/base', { content: { type: 'copy', source } })
        expect(await reason(backend.createVolume(copy, ctx))).toBe('BACKING_FILE_MISSING')
        expect(await fixture.contents()).toEqual([])
      })

      describe('snapshots', () => {
        test('keep the bytes of their time for clones', async (test) => {
          const { snapshots } = backend
          if (snapshots === undefined) return test.skip('the backend has no snapshots')
          await activate()
          await backend.createVolume(spec('disk'), ctx)
          await write('disk', 0, 1)
          const first = await snapshots.create('disk', 'before', ctx)
          await write('disk', 0, 2)
          expect(await snapshots.create('disk', 'before', ctx)).toEqual(first)
          const second = await snapshots.create('disk', 'after', ctx)
          expect(await snapshots.list('disk', ctx)).toEqual([first, second])
          expect(second.createdAt).toBeGreaterThanOrEqual(first.createdAt)

          await backend.createVolume(clone('copy', 'disk', 'before'), ctx)
          expect(await read('copy', 1)).toEqual([1])
          expect(await read('disk', 1)).toEqual([2])
          expect(['no error', 'SNAPSHOT_IN_USE']).toContain(await reason(snapshots.delete('disk', 'before', ctx)))
          expect(await read('copy', 1)).toEqual([1])
          expect(await snapshots.delete('disk', 'after', ctx)).toBe('deleted')
          expect(await snapshots.delete('disk', 'after', ctx)).toBe('already-deleted')
          expect((await snapshots.list('disk', ctx)).map(({ name }) => name)).not.toContain('after')

          await backend.deleteVolume('copy', ctx)
          expect(await backend.deleteVolume('disk', ctx)).toBe('deleted')
          expect(await fixture.contents()).toEqual([])
        })

        test('go with their volume, and are not in a new one of its name', async (test) => {
          const { snapshots } = backend
          if (snapshots === undefined) return test.skip('the backend has no snapshots')
          await activate()
          await backend.createVolume(spec('disk'), ctx)
          await snapshots.create('disk', 'one', ctx)
          expect(await reason(backend.createVolume(clone('copy', 'disk', 'two'), ctx))).toBe('SNAPSHOT_NOT_FOUND')
          expect(await backend.deleteVolume('disk', ctx)).toBe('deleted')
          expect(await fixture.contents()).toEqual([])
          expect(await snapshots.delete('disk', 'one', ctx)).toBe('already-deleted')
          expect(await reason(snapshots.create('disk', 'one', ctx))).toBe('VOLUME_NOT_FOUND')
          expect(await reason(snapshots.list('disk', ctx))).toBe('VOLUME_NOT_FOUND')
          await backend.createVolume(spec('disk'), ctx)
          expect(await snapshots.list('disk', ctx)).toEqual([])
        })

        test('have names like components of volume names', async (test) => {
          const { snapshots } = backend
          if (snapshots === undefined) return test.skip('the backend has no snapshots')
          await activate()
          await backend.createVolume(spec('disk'), ctx)
          for (const name of [...HOSTILE_NAMES, 'a/b', 'disk@one']) {
            expect(await reason(snapshots.create('disk', name, ctx)), JSON.stringify(name)).toBe('INVALID_NAME')
            expect(await reason(snapshots.delete('disk', name, ctx)), JSON.stringify(name)).toBe('INVALID_NAME')
          }
          expect(await snapshots.list('disk', ctx)).toEqual([])
        })
      })
    }
    if (volumes) ofVolumes()

    describe('under the pool manager', () => {
      let made: PoolManager | undefined
      const manager = () => {
        const { factory, environment } = fixture
        made = new PoolManager({ factories: [factory], environment, store: memoryCollection<PoolRecord>() })
        return made
      }
      afterEach(() => made?.stop())

      test('a volume in use is not deleted, and the user is named', async () => {
        const pools = manager()
        await pools.init(fixture.config, ctx)
        const volumes = createVolumeManager(pools)
        const { source } = await volumes.create(fixture.config.poolId, spec('disk'), ctx)
        const path = placeOf(source)
        let users = [{ name: 'VM web-1', path }]
        pools.addUserSource(() => Promise.resolve(users))
        await expect(volumes.delete(fixture.config.poolId, 'disk', ctx)).rejects.toMatchObject({
          reason: 'VOLUME_IN_USE',
          message: expect.stringContaining('VM web-1') as string,
        })
        users = []
        expect(await volumes.delete(fixture.config.poolId, 'disk', ctx)).toBe('deleted')
      })

      test('a pool in use is not destroyed; a destroyed one leaves its data and is unknown', async () => {
        const pools = manager()
        await pools.init(fixture.config, ctx)
        await createVolumeManager(pools).create(fixture.config.poolId, spec('disk'), ctx)
        let users = [{ name: 'VM web-1' }]
        pools.addUserSource(() => Promise.resolve(users))
        expect(await reason(pools.destroy(fixture.config.poolId, ctx))).toBe('POOL_IN_USE')
        users = []
        await pools.destroy(fixture.config.poolId, ctx)
        expect(await fixture.contents()).not.toEqual([])
        expect(await reason(pools.require(fixture.config.poolId, ctx))).toBe('POOL_NOT_FOUND')
      })

      test('the same initialisation again is success, another one under the id is refused', async () => {
        const pools = manager()
        const first = await pools.init(fixture.config, ctx)
        expect((await pools.init(fixture.config, ctx)).config).toEqual(first.config)
        expect(pools.list()).toHaveLength(1)
      })
    })
  })
}
