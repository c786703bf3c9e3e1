import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpContext } from '../../src/core/context.ts'
import { GIB, MIB } from '../../src/core/bytes.ts'
import { AgentError } from '../../src/core/errors.ts'
import type { PoolConfig } from '../../src/core/model.ts'
import type { PoolBackend, PoolBackendFactory, VolumeSpec } from '../../src/storage/backend.ts'
import type { StorageEnvironment } from '../../src/storage/environment.ts'
import { PoolManager, type PoolRecord } from '../../src/storage/pool-manager.ts'
import { createVolumeManager } from '../../src/storage/volume-manager.ts'
import { memoryCollection } from './memory-state.ts'
import { recordingLogger } from './recording-logger.ts'

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

/** Runs every promise of the storage contract (architecture.md 5) against one backend. */
export function describePoolBackend(title: string, open: () => Promise<PoolFixture>): void {
  describe(`pool backend: ${title}`, () => {
    let fixture: PoolFixture
    let backend: PoolBackend
    let ctx: OpContext
    const log = recordingLogger()
    const errors: string[] = []

    beforeEach(async () => {
      log.lines.length = 0
      errors.length = 0
      fixture = await open()
      ctx = { signal: AbortSignal.timeout(60_000), log }
      backend = fixture.factory.create(fixture.config)
    })
    afterEach(async () => {
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
      expect(['POOL_PATH_MISSING', 'POOL_IDENTITY_MISMATCH']).toContain(
        await reason(backend.activate({ mode: 'resume' }, ctx)),
      )
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
      expect(['POOL_PATH_MISSING', 'POOL_IDENTITY_MISMATCH']).toContain(
        await reason(backend.createVolume(spec('disk'), ctx)),
      )
      await fixture.giveBack()
      expect(await fixture.contents()).toEqual([])
    })

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
      expect(['DISK_FILE_FOREIGN', 'VOLUME_CONFLICT']).toContain(await reason(backend.createVolume(spec('disk'), ctx)))
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

    test('with an owner, only its own volume is deleted', async () => {
      await activate()
      await backend.createVolume(spec('disk'), ctx)
      expect(await backend.deleteVolume('disk', ctx, 'vm:2')).toBe('already-deleted')
      expect(await backend.getVolume('disk', ctx)).toBeDefined()
      expect(await backend.deleteVolume('disk', ctx, 'vm:1')).toBe('deleted')
    })

    test.each(HOSTILE_NAMES)('refuses the name %j everywhere', async (name) => {
      await activate()
      expect(await reason(backend.createVolume(spec(name), ctx))).toBe('INVALID_NAME')
      expect(await reason(backend.getVolume(name, ctx))).toBe('INVALID_NAME')
      expect(await reason(backend.deleteVolume(name, ctx))).toBe('INVALID_NAME')
      expect(await reason(backend.diskSource(name, ctx))).toBe('INVALID_NAME')
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
        const path = source.type === 'file' ? source.path : source.device
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
