import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import type { HistoryLimits } from '../../../src/operations/history.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import type { OperationHandler, OperationRecord } from '../../../src/operations/operation.ts'
import type { OperationLog } from '../../../src/operations/operation-log.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { createJobService } from '../../../src/services/job-service.ts'

type Handler = OperationHandler<string, unknown, unknown>

const signal = new AbortController().signal
let dir: string
const managers: OperationManager[] = []

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-history-'))
})
afterEach(async () => {
  for (const manager of managers.splice(0)) await manager.shutdown(0)
  await rm(dir, { recursive: true })
})

async function startManager(handler: Partial<Handler> = {}, history?: HistoryLimits): Promise<OperationManager> {
  const store = openStateStore(dir, silentLogger)
  const operations = store.collection<OperationRecord>('operations')
  const logs = store.collection<OperationLog>('logs')
  const keep = history === undefined ? { logs } : { logs, history }
  const manager = new OperationManager(operations, new KeyedLock(), silentLogger, keep)
  for (const kind of ['work', 'other']) {
    manager.register<string, unknown, unknown>({
      kind,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      run: async () => 'done',
      ...handler,
    })
  }
  managers.push(manager)
  await manager.load()
  await manager.recover()
  return manager
}

const ended = async (manager: OperationManager, kind: string, id: string, params = 'p') => {
  await manager.start(kind, params, { id, subject: `thing ${id}` })
  return manager.wait(id, signal)
}

describe('history', () => {
  it('keeps the newest of each kind, so that many of one kind do not push out another', async () => {
    const manager = await startManager({}, { maxCount: 2, maxAgeMs: 60_000 })
    for (const id of ['o1', 'w1', 'w2', 'w3']) await ended(manager, id.startsWith('o') ? 'other' : 'work', id)
    await manager.shutdown(0)
    expect(
      manager
        .list()
        .map(({ id }) => id)
        .sort(),
    ).toEqual(['o1', 'w2', 'w3'])
    expect((await readdir(path.join(dir, 'operations'))).sort()).toEqual(['o1.json', 'w2.json', 'w3.json'])
  })

  it('forgets what is too old when it is loaded, with its log', async () => {
    const first = await startManager()
    await ended(first, 'work', 'w1')
    await first.shutdown(0)
    expect(await readdir(path.join(dir, 'logs'))).toEqual(['w1.json'])
    const second = await startManager({}, { maxCount: 10, maxAgeMs: -1 })
    expect(second.list()).toEqual([])
    expect(await readdir(path.join(dir, 'logs'))).toEqual([])
  })
})

describe('the log of an operation', () => {
  it('has its states, phases and what the work logged, also after a restart', async () => {
    const first = await startManager({
      run: async (_params, ctx) => {
        ctx.progress({ phase: 'downloading', bytesDone: 0 })
        ctx.log.warn({ attempt: 2, err: 'reset', secret: { nested: true } }, 'trying again')
        throw new AgentError('POOL_FULL', 'no room')
      },
    })
    await ended(first, 'work', 'w1')
    await first.shutdown(0)
    const second = await startManager()
    const { dropped, lines } = await second.log('w1')
    expect(dropped).toBe(0)
    expect(lines.map(({ level, message, fields }) => [level, message, fields])).toEqual([
      ['info', 'running', undefined],
      ['info', 'phase downloading', { bytesDone: 0 }],
      ['warn', 'trying again', { attempt: 2, err: 'reset' }],
      ['info', 'failed', { reason: 'POOL_FULL', err: 'no room' }],
    ])
    await expect(second.log('nobody')).rejects.toMatchObject({ reason: 'JOB_NOT_FOUND' })
  })

  it('keeps the newest lines and cuts long ones', async () => {
    const manager = await startManager({
      run: async (_params, ctx) => {
        for (let n = 0; n < 1_000; n++) ctx.log.info({ n }, 'x'.repeat(10_000))
      },
    })
    await ended(manager, 'work', 'w1')
    const { dropped, lines } = await manager.log('w1')
    expect(lines).toHaveLength(200)
    expect(dropped + lines.length).toBe(1_002)
    expect(Math.max(...lines.map(({ message }) => message.length))).toBeLessThan(600)
  })
})

describe('another attempt', () => {
  it('has the parameters of the failed one and says so', async () => {
    const seen: string[] = []
    const manager = await startManager({
      run: async (params) => {
        seen.push(params)
        if (seen.length === 1) throw new AgentError('POOL_FULL', 'no room')
      },
      retry: (params) => params,
    })
    const first = await ended(manager, 'work', 'w1', 'same')
    expect(manager.canRetry(first)).toBe(true)
    const again = await manager.retry('w1')
    expect(again).toMatchObject({ kind: 'work', subject: 'thing w1', retryOf: 'w1' })
    expect(again.id).not.toBe('w1')
    expect(await manager.wait(again.id, signal)).toMatchObject({ state: 'completed' })
    expect(seen).toEqual(['same', 'same'])
    await expect(manager.retry(again.id)).rejects.toMatchObject({ reason: 'JOB_NOT_RETRYABLE' })
    await expect(manager.retry('nobody')).rejects.toMatchObject({ reason: 'JOB_NOT_FOUND' })
  })

  it('is refused for kinds that cannot', async () => {
    const manager = await startManager({ run: () => Promise.reject(new AgentError('POOL_FULL', 'no room')) })
    expect(manager.canRetry(await ended(manager, 'work', 'w1'))).toBe(false)
    await expect(manager.retry('w1')).rejects.toMatchObject({ reason: 'JOB_NOT_RETRYABLE' })
  })
})

describe('events of a job', () => {
  const jobsOf = (operations: OperationManager) => createJobService({ operations, details: {} })

  it('skip what a slow taker missed, and end with the end', async () => {
    const began = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const manager = await startManager({
      run: async (_params, ctx) => {
        ctx.progress({ phase: 'downloading', bytesDone: 0, bytesTotal: 1_000 })
        began.resolve()
        await go.promise
        for (let n = 1; n <= 1_000; n++) ctx.progress({ phase: 'downloading', bytesDone: n, bytesTotal: 1_000 })
      },
    })
    await manager.start('work', 'p', { id: 'w1', subject: 's' })
    await began.promise
    const events = jobsOf(manager).watch('w1', '', signal)[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ job: { percent: 0, state: 'running' } })
    go.resolve()
    await manager.wait('w1', signal)
    const seen = []
    for (let next = await events.next(); next.done !== true; next = await events.next()) seen.push(next.value)
    expect(seen.length).toBeLessThanOrEqual(2)
    expect(seen.at(-1)).toMatchObject({ id: 'end', job: { state: 'completed', percent: 100 } })
  })

  it('begin with nothing for one who has had the present state', async () => {
    const go = Promise.withResolvers<void>()
    const manager = await startManager({ run: () => go.promise })
    const jobs = jobsOf(manager)
    await manager.start('work', 'p', { id: 'w1', subject: 's' })
    const first = await jobs.watch('w1', '', signal)[Symbol.asyncIterator]().next()
    const id = (first.value as { id: string }).id
    const next = jobs.watch('w1', id, signal)[Symbol.asyncIterator]().next()
    go.resolve()
    expect((await next).value).toMatchObject({ id: expect.not.stringMatching(new RegExp(`^${id}$`)) as string })
    await manager.wait('w1', signal)
    expect((await jobs.watch('w1', 'x', signal)[Symbol.asyncIterator]().next()).value).toMatchObject({ id: 'end' })
  })
})
