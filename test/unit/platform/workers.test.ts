import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { WorkerProcess, type CallOptions, type WorkerTraits } from '../../../src/platform/workers.ts'
import { until } from '../../support/until.ts'

const open = new AbortController().signal
const workers: WorkerProcess[] = []

afterEach(() => {
  for (const worker of workers.splice(0)) worker.close()
})

/** A real worker process that has answered once. Its methods do not matter here: one that it does not have is answered too. */
async function startWorker(traits: WorkerTraits = {}): Promise<WorkerProcess> {
  const worker = new WorkerProcess('storage', 'test', silentLogger, traits)
  workers.push(worker)
  await expect(ask(worker)).rejects.toMatchObject({ reason: 'INTERNAL', message: 'worker has no method ask' })
  return worker
}

const ask = (worker: WorkerProcess, options: Partial<CallOptions> = {}) =>
  worker.call('ask', {}, { signal: open, timeoutMs: 60_000, ...options })

function pidOf(worker: WorkerProcess): number {
  if (worker.pid === undefined) throw new Error('the worker does not run')
  return worker.pid
}

/** A worker that hangs, as on a dead file system. */
async function hungWorker(): Promise<{ worker: WorkerProcess; pid: number }> {
  const worker = await startWorker()
  const pid = pidOf(worker)
  process.kill(pid, 'SIGSTOP')
  return { worker, pid }
}

describe('a worker process', () => {
  it('that works in the background yields the processor with all its threads, another one with none', async () => {
    const own = getPriority()
    const niceOf = async (traits: WorkerTraits) => {
      const pid = pidOf(await startWorker(traits))
      const threads = (await readdir(`/proc/${pid}/task`)).map(Number)
      return [...new Set(threads.map(getPriority))]
    }
    expect(await niceOf({ background: true })).toEqual([Math.min(19, own + 10)])
    expect(await niceOf({})).toEqual([own])
  })

  it('is replaced after it died, and says so to the call it owed an answer', async () => {
    const { worker, pid } = await hungWorker()
    const owed = ask(worker)
    process.kill(pid, 'SIGKILL')
    await expect(owed).rejects.toMatchObject({ reason: 'WORKER_DIED' })
    await expect(ask(worker)).rejects.toMatchObject({ reason: 'INTERNAL' })
    expect(pidOf(worker)).not.toBe(pid)
  })

  it('is killed at the deadline of a call, and other calls in it learn why', async () => {
    const { worker, pid } = await hungWorker()
    const other = expect(ask(worker)).rejects.toMatchObject({ reason: 'WORKER_DIED' })
    await expect(ask(worker, { timeoutMs: 50 })).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' })
    await other
    await expect(ask(worker)).rejects.toMatchObject({ reason: 'INTERNAL' })
    expect(pidOf(worker)).not.toBe(pid)
    expect(worker.stuck).toBe(0)
  })

  it('does not hang when the agent itself stood still past the deadline of a call', async () => {
    const worker = await startWorker()
    const directory = await mkdtemp(path.join(tmpdir(), 'lqx-workers-'))
    try {
      const target = path.join(directory, 'made')
      const made = worker.call('makeMountPoint', { target, parents: false }, { signal: open, timeoutMs: 50 })
      for (const end = Date.now() + 30_000; !existsSync(target) && Date.now() < end;);
      // The answer is on its way; the deadline passes before it can be read.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
      await made
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('is asked again by calls that change nothing when another one hung', async () => {
    const { worker, pid } = await hungWorker()
    const again = expect(ask(worker, { repeatable: true })).rejects.toMatchObject({ reason: 'INTERNAL' })
    await expect(ask(worker, { timeoutMs: 50, repeatable: true })).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    })
    await again
    expect(pidOf(worker)).not.toBe(pid)
  })

  it('is spared at a deadline that only cancels', async () => {
    const { worker, pid } = await hungWorker()
    await expect(ask(worker, { timeoutMs: 50, onTimeout: 'cancel' })).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    })
    process.kill(pid, 'SIGCONT')
    await expect(ask(worker)).rejects.toMatchObject({ reason: 'INTERNAL' })
    expect(pidOf(worker)).toBe(pid)
  })

  it('lets a caller that gives up go at once', async () => {
    const { worker } = await hungWorker()
    const controller = new AbortController()
    const given = expect(ask(worker, { signal: controller.signal })).rejects.toThrow('gave up')
    controller.abort(new Error('gave up'))
    await given
  })

  it('takes nothing more once it is closed', async () => {
    const { worker } = await hungWorker()
    const owed = expect(ask(worker)).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
    worker.close()
    await owed
    await expect(ask(worker)).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' })
  })

  it('ends with an agent that is killed, even when it is busy with something else than its channel', async () => {
    const owner = spawn(process.execPath, [path.join(import.meta.dirname, 'worker-owner.ts')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(owner.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    process.kill(pid, 'SIGSTOP')
    try {
      owner.kill('SIGKILL')
      await until(async () => !(await runs(pid)))
    } finally {
      if (await runs(pid)) process.kill(pid, 'SIGKILL')
    }
  })
})

/** Whether a process is more than the entry of one that has ended. */
async function runs(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tX')
  return !/^State:\t[XZ]/m.test(status)
}
