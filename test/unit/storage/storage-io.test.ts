import { mkdir } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { PoolGuard } from '../../../src/storage/pool-guard.ts'
import { StorageIo, type MethodTimeouts, type PoolTarget } from '../../../src/storage/storage-io.ts'
import { reasonOf, tempDirectory } from './fixture.ts'

const own: PoolTarget = { poolId: 'p1', isolation: 'own' }
const WHOLE = {
  offset: 0,
  order: 'name',
  descending: false,
  form: 'json',
  maxEntries: 10,
  maxAnswer: 10,
} as const
const options = { signal: AbortSignal.timeout(60_000) }

async function pool(timeoutsMs: MethodTimeouts = {}): Promise<{ io: StorageIo; guard: PoolGuard; pid: number }> {
  const base = await tempDirectory()
  const io = new StorageIo(silentLogger, timeoutsMs)
  onTestFinished(() => io.close())
  const setup = { root: `${base}/pool`, poolId: 'p1', kind: 'NFS', node: 'n', reserved: [] } as const
  await mkdir(setup.root)
  const guard = await io.call(own, 'initialisePool', setup, options)
  const [pid] = io.state().pids
  return { io, guard, pid: pid ?? 0 }
}

const list = (io: StorageIo, guard: PoolGuard) =>
  io.call(own, 'listDirectory', { guard, components: [], ...WHOLE }, options)

test('a helper that is killed in the middle of a call is an error of its own, and the next call has a new helper', async () => {
  const { io, guard, pid } = await pool()
  // Stopped, it cannot answer before it is killed.
  process.kill(pid, 'SIGSTOP')
  const call = reasonOf(list(io, guard))
  process.kill(pid, 'SIGKILL')
  expect(await call).toBe('WORKER_DIED')
  expect(await list(io, guard)).toBe(0)
  expect(io.state().pids[0]).not.toBe(pid)
})

test('what only reads is repeated when the helper died of something else', async () => {
  const { io, guard, pid } = await pool()
  process.kill(pid, 'SIGSTOP')
  const call = io.call(own, 'readVolumes', { guard }, options)
  process.kill(pid, 'SIGKILL')
  expect(await call).toEqual([])
})

test('a helper that does not answer is killed at the deadline; other pools do not notice, and it works again afterwards', async () => {
  const { io, guard, pid } = await pool({ listDirectory: 100 })
  const other: PoolTarget = { poolId: 'p2', isolation: 'own' }
  process.kill(pid, 'SIGSTOP')
  const hung = reasonOf(list(io, guard))
  expect(await io.call(other, 'markerIn', { root: guard.root }, options)).toMatchObject({ poolId: 'p1' })
  expect(await hung).toBe('DEADLINE_EXCEEDED')
  expect(await io.call(own, 'readVolumes', { guard }, options)).toEqual([])
})

test('at most one probe of a pool is under way; the others wait for their turn', async () => {
  const { io, guard, pid } = await pool()
  process.kill(pid, 'SIGSTOP')
  const probes = [1, 2, 3].map(() => io.call(own, 'probePool', { guard, write: false }, options))
  await new Promise((resolve) => setImmediate(resolve))
  expect(io.state().probing).toBe(1)
  process.kill(pid, 'SIGCONT')
  expect(await Promise.all(probes)).toHaveLength(3)
  expect(io.state().probing).toBe(0)
})

test('a late probe fails, its call goes on in the same helper, and the next look gets its answer', async () => {
  const { io, guard, pid } = await pool({ probePool: 1_000 })
  process.kill(pid, 'SIGSTOP')
  const look = () => io.call(own, 'probePool', { guard, write: false }, options)
  expect(await reasonOf(look())).toBe('DEADLINE_EXCEEDED')
  expect(await reasonOf(look())).toBe('DEADLINE_EXCEEDED')
  expect(io.state().pids).toEqual([pid])
  const next = look()
  process.kill(pid, 'SIGCONT')
  expect(await next).toMatchObject({ volumeCount: 0 })
  expect(await look()).toMatchObject({ volumeCount: 0 })
  expect(io.state().pids).toEqual([pid])
})

test('a caller that gives up is answered at once, and the helper stays', async () => {
  const { io, guard, pid } = await pool()
  process.kill(pid, 'SIGSTOP')
  const controller = new AbortController()
  const call = io.call(own, 'readVolumes', { guard }, { signal: controller.signal })
  controller.abort(new Error('gone'))
  await expect(call).rejects.toThrow('gone')
  process.kill(pid, 'SIGCONT')
  expect(await list(io, guard)).toBe(0)
  expect(io.state().pids).toEqual([pid])
})

test('closing ends the helpers and their calls', async () => {
  const { io, guard, pid } = await pool()
  process.kill(pid, 'SIGSTOP')
  const call = reasonOf(list(io, guard))
  io.close()
  expect(await call).toBe('SHUTTING_DOWN')
})
