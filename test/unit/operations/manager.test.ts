import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import type { OperationContext, OperationHandler, OperationRecord } from '../../../src/operations/operation.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'

interface Params {
  readonly name: string
}
type Context = OperationContext<unknown>
type Run = (params: Params, ctx: Context) => Promise<unknown>

const signal = new AbortController().signal
let dir: string

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-operations-'))
})
afterEach(() => rm(dir, { recursive: true }))

// Opening the store a second time would sweep the temp files of the first.
const persisted = async (id: string) =>
  JSON.parse(await readFile(path.join(dir, 'operations', `${id}.json`), 'utf8')) as OperationRecord
const store = () => openStateStore(dir, silentLogger).collection<OperationRecord>('operations')

/** A manager on the state of this test, as a new process would have it, with one kind of work. */
async function startManager(
  run: Run,
  change: Partial<OperationHandler<Params, unknown, unknown>> = {},
  locks = new KeyedLock(),
) {
  const manager = new OperationManager(store(), locks, silentLogger)
  manager.register<Params, unknown, unknown>({
    kind: 'work',
    onRestart: 'resume',
    onShutdown: 'interrupt',
    run,
    ...change,
  })
  await manager.load()
  await manager.recover()
  return manager
}

/** Work that tells when it began and goes on when it is told; an abort ends it. */
function heldWork() {
  const began = Promise.withResolvers<Context>()
  const go = Promise.withResolvers<void>()
  const run: Run = async (_params, ctx) => {
    began.resolve(ctx)
    const aborted = new Promise<never>((_resolve, reject) => {
      ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error), { once: true })
    })
    await Promise.race([go.promise, aborted])
    return 'done'
  }
  return { run, began: began.promise, go: go.resolve }
}

describe('an operation', () => {
  it('is persisted before start resolves and completes with its result', async () => {
    const work = heldWork()
    const manager = await startManager(work.run)
    const { id, state } = await manager.start('work', { name: 'a' }, { subject: 'thing a' })
    expect(['pending', 'running']).toContain(state)
    expect(await persisted(id)).toMatchObject({ id, kind: 'work', subject: 'thing a', params: { name: 'a' } })
    work.go()
    expect(await manager.result(id, signal)).toBe('done')
    expect(await persisted(id)).toMatchObject({ state: 'completed', result: 'done' })
  })

  it('fails with the reason of its handler', async () => {
    const manager = await startManager(() => Promise.reject(new AgentError('POOL_FULL', 'no room')))
    const { id } = await manager.start('work', { name: 'a' }, { subject: 'a' })
    await expect(manager.result(id, signal)).rejects.toMatchObject({ reason: 'POOL_FULL', message: 'no room' })
    expect(manager.get(id)).toMatchObject({ state: 'failed' })
  })

  it('goes on when its caller hangs up', async () => {
    const work = heldWork()
    const manager = await startManager(work.run)
    const { id } = await manager.start('work', { name: 'a' }, { subject: 'a' })
    const caller = new AbortController()
    const wait = manager.wait(id, caller.signal)
    caller.abort(new Error('gone'))
    await expect(wait).rejects.toThrow('gone')
    work.go()
    expect(await manager.wait(id, signal)).toMatchObject({ state: 'completed' })
  })

  it('reports progress to its watchers until they leave', async () => {
    const work = heldWork()
    const manager = await startManager(work.run)
    const { id } = await manager.start('work', { name: 'a' }, { subject: 'a' })
    const ctx = await work.began
    const seen: unknown[] = []
    const stop = manager.watch(id, (record) => seen.push(record.progress?.percent))
    ctx.progress({ phase: 'x', percent: 10 })
    stop()
    ctx.progress({ phase: 'x', percent: 20 })
    expect(seen).toEqual([10])
    expect(manager.get(id)?.progress?.percent).toBe(20)
    work.go()
    await manager.wait(id, signal)
  })

  it('is shared by requests with the same key while it runs, and new afterwards', async () => {
    const work = heldWork()
    const manager = await startManager(work.run)
    const begin = () => manager.start('work', { name: 'a' }, { subject: 'a', dedupeKey: 'a' })
    const [first, second] = await Promise.all([begin(), begin()])
    expect(second.id).toBe(first.id)
    work.go()
    await manager.wait(first.id, signal)
    const third = await begin()
    expect(third.id).not.toBe(first.id)
    await manager.wait(third.id, signal)
  })

  it('is the same for the same id, also when it has ended', async () => {
    const manager = await startManager(() => Promise.resolve(1))
    const begin = () => manager.start('work', { name: 'a' }, { id: 'job-1', subject: 'a' })
    await begin()
    await manager.wait('job-1', signal)
    expect(await begin()).toMatchObject({ id: 'job-1', state: 'completed' })
  })

  it('waits for the locks of another', async () => {
    const work = heldWork()
    const manager = await startManager(async (params, ctx) => (params.name === 'held' ? work.run(params, ctx) : 'free'))
    const options = { subject: 'x', locks: ['vm:1'] }
    const held = await manager.start('work', { name: 'held' }, options)
    await work.began
    const waiting = await manager.start('work', { name: 'next' }, options)
    expect(manager.get(waiting.id)?.state).toBe('pending')
    const other = await manager.start('work', { name: 'other' }, { subject: 'y', locks: ['vm:2'] })
    expect(await manager.result(other.id, signal)).toBe('free')
    expect(manager.get(waiting.id)?.state).toBe('pending')
    work.go()
    expect(await manager.result(waiting.id, signal)).toBe('free')
    expect(manager.get(held.id)?.state).toBe('completed')
  })

  it('of an unknown id or kind is an error', async () => {
    const manager = await startManager(() => Promise.resolve(1))
    await expect(manager.wait('nope', signal)).rejects.toMatchObject({ reason: 'JOB_NOT_FOUND' })
    await expect(manager.cancel('nope', signal)).rejects.toMatchObject({ reason: 'JOB_NOT_FOUND' })
    await expect(manager.start('other', {}, { subject: 'x' })).rejects.toMatchObject({ reason: 'INTERNAL' })
  })
})

describe('a cancelled operation', () => {
  it('is cancelled only when its handler has really ended, and holds its locks so long', async () => {
    const cleanup = Promise.withResolvers<void>()
    const work = heldWork()
    const order: string[] = []
    const manager = await startManager(async (params, ctx) => {
      if (params.name === 'next') return order.push('next')
      try {
        return await work.run(params, ctx)
      } finally {
        await cleanup.promise
        order.push('cleaned')
      }
    })
    const options = { subject: 'x', locks: ['vm:1'] }
    const { id } = await manager.start('work', { name: 'first' }, options)
    await work.began
    const cancelled = manager.cancel(id, signal)
    const next = await manager.start('work', { name: 'next' }, options)
    expect(manager.get(id)?.state).toBe('running')
    cleanup.resolve()
    expect(await cancelled).toMatchObject({ state: 'cancelled', error: { reason: 'CANCELLED' } })
    await manager.wait(next.id, signal)
    expect(order).toEqual(['cleaned', 'next'])
    await expect(manager.cancel(id, signal)).rejects.toMatchObject({ reason: 'JOB_FINISHED' })
  })

  it('never begins when it was still waiting for its locks', async () => {
    const work = heldWork()
    const ran: string[] = []
    const manager = await startManager(async (params, ctx) => {
      ran.push(params.name)
      return work.run(params, ctx)
    })
    const options = { subject: 'x', locks: ['vm:1'] }
    const first = await manager.start('work', { name: 'first' }, options)
    await work.began
    const second = await manager.start('work', { name: 'second' }, options)
    expect(await manager.cancel(second.id, signal)).toMatchObject({ state: 'cancelled' })
    work.go()
    await manager.wait(first.id, signal)
    expect(ran).toEqual(['first'])
  })

  it('is not joined by a new request with its key', async () => {
    const work = heldWork()
    const manager = await startManager(async (params, ctx) =>
      params.name === 'first' ? work.run(params, ctx) : 'second',
    )
    const first = await manager.start('work', { name: 'first' }, { subject: 'a', dedupeKey: 'a' })
    await work.began
    const cancelled = manager.cancel(first.id, signal)
    const second = await manager.start('work', { name: 'second' }, { subject: 'a', dedupeKey: 'a' })
    expect(second.id).not.toBe(first.id)
    await cancelled
    expect(await manager.result(second.id, signal)).toBe('second')
  })
})

describe('after a restart', () => {
  it('history is there and interrupted work runs again under its id, with its journal', async () => {
    const work = heldWork()
    const before = await startManager(async (params, ctx) => {
      if (params.name === 'short') return 'short'
      await ctx.save({ step: 3 })
      return work.run(params, ctx)
    })
    const done = await before.start('work', { name: 'short' }, { subject: 'a' })
    await before.wait(done.id, signal)
    const { id } = await before.start('work', { name: 'long' }, { subject: 'b' })
    await work.began
    // The first process is dead from here on: only its files count.
    const journals: unknown[] = []
    const after = await startManager(async (params, ctx) => {
      journals.push([params.name, ctx.id, ctx.journal])
      return 'resumed'
    })
    expect(after.get(done.id)).toMatchObject({ state: 'completed', result: 'short' })
    expect(await after.result(id, signal)).toBe('resumed')
    expect(journals).toEqual([['long', id, { step: 3 }]])
    await before.shutdown(0)
  })

  it('history answers before the work is taken up again', async () => {
    const work = heldWork()
    const before = await startManager(work.run)
    const { id } = await before.start('work', { name: 'long' }, { subject: 'b' })
    await work.began
    const after = new OperationManager(store(), new KeyedLock(), silentLogger)
    await after.load()
    // That it runs is written while it does.
    expect(['pending', 'running']).toContain(after.get(id)?.state)
    await before.shutdown(0)
  })

  it('work that is not resumed is rolled back before recover resolves', async () => {
    const work = heldWork()
    const rolledBack: unknown[] = []
    const before = await startManager(async (params, ctx) => {
      await ctx.save(['made a'])
      return work.run(params, ctx)
    })
    const { id } = await before.start('work', { name: 'long' }, { subject: 'vm x' })
    await work.began
    const after = await startManager(() => Promise.reject(new Error('must not run')), {
      onRestart: 'rollback',
      rollback: async (params, ctx) => void rolledBack.push([params.name, ctx.journal]),
    })
    expect(rolledBack).toEqual([['long', ['made a']]])
    expect(after.get(id)).toMatchObject({ state: 'failed', error: { reason: 'ABORTED_BY_RESTART' } })
    await before.shutdown(0)
  })

  describe('work with a journal that waits for its locks', () => {
    const begin = async () => {
      const work = heldWork()
      const before = await startManager(async (params, ctx) => {
        await ctx.save(['made a'])
        return work.run(params, ctx)
      })
      const { id } = await before.start('work', { name: 'long' }, { subject: 'vm x', locks: ['vm:x'] })
      await work.began
      const locks = new KeyedLock()
      const release = await locks.acquire('vm:x', signal)
      const seen: unknown[] = []
      const run: Run = (_params, ctx) => {
        seen.push([ctx.journal, ctx.signal.aborted])
        return Promise.reject(ctx.signal.reason as Error)
      }
      return { before, id, release, seen, after: await startManager(run, {}, locks) }
    }

    it('is not cancelled without its handler, which may have to undo what an earlier process did', async () => {
      const { before, id, release, seen, after } = await begin()
      const cancelled = after.cancel(id, signal)
      expect(seen).toEqual([])
      release()
      expect(await cancelled).toMatchObject({ state: 'cancelled', error: { reason: 'CANCELLED' } })
      expect(seen).toEqual([[['made a'], true]])
      await before.shutdown(0)
    })

    it('is left to the next start by a stop, also when it was cancelled meanwhile', async () => {
      const { before, id, release, seen, after } = await begin()
      const cancelled = expect(after.cancel(id, signal)).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
      await after.shutdown(0)
      await cancelled
      expect(await persisted(id)).toMatchObject({ state: 'running', journal: ['made a'] })
      expect(seen).toEqual([])
      release()
      await before.shutdown(0)
    })
  })

  it('new work waits until interrupted work holds its locks again', async () => {
    const options = { subject: 'vm x', locks: ['vm:x'] }
    const old = {
      id: 'old',
      kind: 'work',
      params: { name: 'old' },
      state: 'running',
      createdAt: 1,
      ...options,
    } as const
    // A store without delays, so that nothing but the manager itself can hold the new work back.
    const records = new Map<string, OperationRecord>([[old.id, old]])
    const memory = {
      get: (id: string) => Promise.resolve(records.get(id)),
      put: (id: string, record: OperationRecord) => Promise.resolve(void records.set(id, record)),
      delete: (id: string) => Promise.resolve(void records.delete(id)),
      entries: () => Promise.resolve([...records]),
    }
    const order: string[] = []
    const manager = new OperationManager(memory, new KeyedLock(), silentLogger)
    manager.register<Params, unknown, unknown>({
      kind: 'work',
      onRestart: 'rollback',
      onShutdown: 'finish',
      run: async ({ name }) => order.push(`run ${name}`),
      rollback: async ({ name }) => void order.push(`undo ${name}`),
    })
    await manager.load()
    const early = manager.start('work', { name: 'new' }, options)
    await new Promise(setImmediate)
    await manager.recover()
    await manager.result((await early).id, signal)
    expect(order).toEqual(['undo old', 'run new'])
  })
})

describe('when the end cannot be written', () => {
  /** A manager on a store that refuses every final record as a full disk does. */
  async function managerOnFullDisk(onRestart: 'resume' | 'rollback', rollback: () => Promise<void>) {
    const inner = store()
    const full = {
      ...inner,
      put: (id: string, record: OperationRecord) =>
        record.finishedAt === undefined ? inner.put(id, record) : Promise.reject(new Error('ENOSPC')),
    }
    const manager = new OperationManager(full, new KeyedLock(), silentLogger)
    const run = () => Promise.resolve('made')
    manager.register({ kind: 'work', onRestart, onShutdown: 'finish', run, rollback })
    await manager.recover()
    return manager
  }

  it('undoes at once what the next start would undo, and says why', async () => {
    const undone: string[] = []
    const manager = await managerOnFullDisk('rollback', async () => void undone.push('undone'))
    const { id } = await manager.start('work', {}, { subject: 'vm x' })
    await expect(manager.result(id, signal)).rejects.toThrow('ENOSPC')
    expect(undone).toEqual(['undone'])
    expect(manager.get(id)).toMatchObject({ state: 'failed' })
  })

  it('leaves what the next start resumes', async () => {
    const manager = await managerOnFullDisk('resume', () => Promise.reject(new Error('must not be undone')))
    const { id } = await manager.start('work', {}, { subject: 'image x' })
    await expect(manager.result(id, signal)).rejects.toThrow('ENOSPC')
    expect(await persisted(id)).toMatchObject({ state: 'running' })
  })
})

describe('shutdown', () => {
  it('interrupts work so that the next start takes it up', async () => {
    const work = heldWork()
    const before = await startManager(work.run)
    const { id } = await before.start('work', { name: 'a' }, { subject: 'a' })
    await work.began
    const waiter = expect(before.result(id, signal)).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
    await before.shutdown(10_000)
    await waiter
    expect(before.get(id)).toMatchObject({ state: 'running' })
    expect(await persisted(id)).toMatchObject({ state: 'running' })
    await expect(before.start('work', { name: 'b' }, { subject: 'b' })).rejects.toMatchObject({
      reason: 'SHUTTING_DOWN',
    })
    const after = await startManager(() => Promise.resolve('resumed'))
    expect(await after.result(id, signal)).toBe('resumed')
  })

  it('gives work that wants to finish its time', async () => {
    const work = heldWork()
    const manager = await startManager(work.run, { onShutdown: 'finish' })
    const { id } = await manager.start('work', { name: 'a' }, { subject: 'a' })
    const ctx = await work.began
    const stopping = manager.shutdown(60_000)
    expect(ctx.signal.aborted).toBe(false)
    work.go()
    await stopping
    expect(await persisted(id)).toMatchObject({ state: 'completed' })
  })

  it('interrupts what does not finish within the grace period', async () => {
    const work = heldWork()
    const manager = await startManager(work.run, { onShutdown: 'finish' })
    const { id } = await manager.start('work', { name: 'a' }, { subject: 'a' })
    const ctx = await work.began
    await manager.shutdown(1)
    expect(ctx.signal.aborted).toBe(true)
    expect(await persisted(id)).toMatchObject({ state: 'running' })
  })
})
