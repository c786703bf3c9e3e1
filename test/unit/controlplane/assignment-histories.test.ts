import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { StorageIo } from '../../../src/storage/storage-io.ts'
import { AssignmentWorld, STORAGES } from './assignment-world.ts'

type Step = (world: AssignmentWorld) => void | Promise<void>

const HISTORIES = 10_000

// In a test report a step is its name: `want(p1, NFS on s0, assigned)`.
const named = (name: string, step: Step): Step => Object.assign(step, { [fc.toStringMethod]: () => name })

const pool = fc.constantFrom('p0', 'p1', 'p2')
const storage = fc.constantFrom(...STORAGES)
const place = fc.record({ kind: fc.constantFrom('LOCAL_LVM' as const, 'NFS' as const), storage })

const onPool = (name: string, step: (world: AssignmentWorld, poolId: string) => void | Promise<void>) =>
  pool.map((poolId) => named(`${name} ${poolId}`, (world) => step(world, poolId)))

/** Answers of control planes that are not what they should be. */
const answers: readonly (readonly [string, (ids: string[]) => string[]])[] = [
  ['', (ids) => ids],
  [' answered with nothing', () => []],
  [' answered with one pool less', (ids) => ids.slice(1)],
  [' answered in another order', (ids) => ids.toReversed()],
  [' answered with what is no pool', (ids) => [...ids, '../../etc', '', 'p9', ...ids]],
]

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(pool, place, fc.boolean())
      .map(([poolId, where, assigned]) =>
        named(`want ${poolId}: ${where.kind} on ${where.storage}${assigned ? ', assigned' : ''}`, (world) =>
          world.want(poolId, where, assigned),
        ),
      ),
  },
  { weight: 4, arbitrary: onPool('push', (world, poolId) => world.push(poolId)) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(...answers).map(([how, mangle]) => named(`beat${how}`, (world) => world.beat(mangle))),
  },
  { weight: 2, arbitrary: onPool('assign', (world, poolId) => world.assign(poolId, true)) },
  { weight: 2, arbitrary: onPool('unassign', (world, poolId) => world.assign(poolId, false)) },
  { weight: 1, arbitrary: onPool('assign to another host too', (world, poolId) => world.share(poolId)) },
  { weight: 1, arbitrary: onPool('delete in the control plane', (world, poolId) => world.forget(poolId)) },
  { weight: 1, arbitrary: fc.constant(named('control plane forgets everything', (world) => world.forgetEverything())) },
  { weight: 2, arbitrary: fc.constant(named('restart of the agent', (world) => world.start())) },
  { weight: 1, arbitrary: fc.constant(named('look', (world) => world.look())) },
  { weight: 2, arbitrary: onPool('a guest uses', (world, poolId) => world.useByGuest(poolId)) },
  { weight: 1, arbitrary: onPool('a job uses', (world, poolId) => world.useByJob(poolId)) },
  { weight: 1, arbitrary: onPool('release', (world, poolId) => world.release(poolId)) },
  { weight: 2, arbitrary: onPool('destroy', (world, poolId) => world.destroy(poolId)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(storage, fc.boolean())
      .map(([name, online]) =>
        named(`${name} ${online ? 'comes back' : 'goes away'}`, (world) => world.setOnline(name, online)),
      ),
  },
)

const io = new StorageIo(silentLogger)
afterAll(() => io.close())

// A failure prints its seed and the shortest history that fails; LQX_SEED=<seed> runs it again.
test(`over ${HISTORIES} histories no pool in use is unmounted, none goes without being destroyed, and what is wanted comes`, async () => {
  const seed = process.env['LQX_SEED']
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 16 }), async (history) => {
      const world = new AssignmentWorld(io)
      await world.start()
      try {
        for (const each of history) {
          await each(world)
          expect(world.broken).toEqual([])
        }
        await world.settle()
        expect(world.broken).toEqual([])
      } finally {
        await world.stop()
      }
    }),
    { numRuns: HISTORIES, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  )
}, 60_000)
