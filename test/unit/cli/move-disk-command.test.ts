import { expect, test } from 'vitest'
import { anyJob, VM_ID } from '../grpc/fake-services.ts'
import { startCliRig } from './cli-rig.ts'

test.each([
  ['web-1', [], 0, false],
  [VM_ID, ['--rate', '50M', '--drop-checkpoints'], 50 * 2 ** 20, true],
  [VM_ID, ['--rate', '1000'], 1000, false],
])('a disk of %s is moved with %j, and the job is watched to its end', async (vm, options, rate, drop) => {
  const { run, calls } = await startCliRig({ jobs: { get: () => anyJob } })
  const { code, text } = await run('vms', 'move-disk', vm, 'root', '--to', 'pool-2', ...options)
  expect(code).toBe(0)
  expect(text).toContain('completed 100 %')
  const asked = calls.find(({ method }) => method === 'moveDisk')?.args
  expect(asked).toEqual([VM_ID, 'root', { poolId: 'pool-2', bytesPerSecond: rate, dropCheckpoints: drop }])
})

test('a move that fails says why, and is no success', async () => {
  const failed = {
    ...anyJob,
    state: 'failed' as const,
    error: { reason: 'DISK_MOVE_FAILED' as const, message: 'full' },
  }
  const { run } = await startCliRig({
    jobs: {
      get: () => failed,
      async *watch() {
        yield { id: 'end', job: failed }
      },
    },
  })
  const { code, text } = await run('vms', 'move-disk', 'web-1', 'root', '--to', 'pool-2')
  expect(code).toBe(1)
  expect(text).toContain('full [DISK_MOVE_FAILED]')
})

test.each([
  ['no pool', ['web-1', 'root']],
  ['no disk', ['web-1', '--to', 'pool-2']],
  ['a word too many', ['web-1', 'root', 'now', '--to', 'pool-2']],
  ['a rate without a number', ['web-1', 'root', '--to', 'pool-2', '--rate', 'fast']],
  ['a rate of an unknown unit', ['web-1', 'root', '--to', 'pool-2', '--rate', '5T']],
])('with %s nothing is asked', async (_what, args) => {
  const { run, calls } = await startCliRig()
  await expect(run('vms', 'move-disk', ...args)).rejects.toMatchObject({ reason: 'USAGE' })
  expect(calls).toEqual([])
})
