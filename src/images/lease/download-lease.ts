import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import type { Progress } from '../../core/context.ts'
import { delay, monotonicMs } from '../../platform/clock.ts'
import type { DownloadRun } from '../download-stage.ts'
import { inTarget } from '../full-target.ts'
import { isInterrupted } from '../stages/receive.ts'
import type { LeaseFacts } from './lease-file.ts'
import type { LeaseSettings } from './lease-settings.ts'

const RELEASE_TIMEOUT_MS = 10_000
const MAX_BEAT_MS = 2_000

/**
 * Runs `work` as the only host that makes the image of `run`. While another one does, its progress is shown as that of this job; undefined then means: look again, the image may be there. The lease is a file beside the image
 * with a counter and a token: who sees the counter stand still takes the next token, and nobody with an older one can publish. Only in pools; elsewhere `work` runs at once.
 */
export async function underLease<T extends object>(
  run: DownloadRun,
  work: (run: DownloadRun) => Promise<T>,
): Promise<T | undefined> {
  const { lease } = run.deps.settings
  const { target, params } = run
  if (lease === undefined || target.guard === undefined || params.volume !== undefined) return work(run)
  const taken = await inTarget(run, () => takeOrFollow(run, lease))
  if (taken === undefined) return undefined
  const { token, fromJob } = taken
  const held = new HeldLease({ ...run, target: { ...target, lease: token } }, token, lease)
  try {
    // It may have come between the last look and the lease.
    const { existing } = await run.client.prepare(held.run.target, run.ctx.signal)
    if (existing !== undefined) return undefined
    if (fromJob !== undefined) await inherit(held.run, fromJob)
    const result = await work(held.run)
    // Its host may never come back for them.
    if (fromJob !== undefined) await sweep(run, fromJob)
    return result
  } catch (error) {
    const lost = isAgentError(error, 'LEASE_LOST') || held.isLost
    if (!lost || run.ctx.signal.aborted) throw error
    run.ctx.log.warn({ file: target.fileName }, 'another host has taken this download over; following it')
    await sweep(run, target.jobId)
    return undefined
  } finally {
    await held.end()
  }
}

// What the dead host has received is not fetched again where that can be; without it the job only takes longer.
async function inherit({ client, params, target, ctx }: DownloadRun, fromJob: string): Promise<void> {
  if (params.source !== undefined || params.uploadBytes !== undefined) return
  const order = { target, fromJob, urls: [params.url, ...(params.mirrors ?? [])] }
  try {
    const bytes = await client.inherit(order, () => undefined, ctx.signal)
    if (bytes > 0) ctx.log.info({ file: params.fileName, bytes }, 'going on with what the silent host has received')
  } catch (error) {
    ctx.signal.throwIfAborted()
    ctx.log.warn({ err: errorText(error) }, 'what a silent host has received cannot be used')
  }
}

// What a job had received that does not go on. Failing changes nothing about the image that is there.
async function sweep({ client, target, ctx }: DownloadRun, jobId: string): Promise<void> {
  await client.discard({ ...target, jobId }, ctx.signal).catch((error: unknown) => {
    ctx.log.warn({ err: errorText(error), job: jobId }, 'leftovers of a download remain')
  })
}

interface Taken {
  readonly token: number
  /** Job of the dead host that had the lease before. */
  readonly fromJob?: string
}

// The lease that was taken, or undefined when somebody else's has ended.
async function takeOrFollow(run: DownloadRun, lease: LeaseSettings): Promise<Taken | undefined> {
  const { client, target, ctx, params } = run
  let followed: { token: number; counter: number; since: number } | undefined
  for (;;) {
    const present = await client.lease('lease.read', { target, token: 0, facts: factsOf(run, lease, 0) }, ctx.signal)
    if (present === undefined && followed !== undefined) return undefined
    const own = present?.facts?.holder === lease.holder
    const counter = present?.facts?.counter ?? -1
    const still = followed?.token === present?.token && followed?.counter === counter
    const dead = followed !== undefined && still && monotonicMs() - followed.since >= lease.timeoutMs
    if (present === undefined || own || dead) {
      if (!run.slot.isHeld) {
        // Things may be different when its turn has come.
        await run.slot.take(ctx.signal)
        continue
      }
      const after = present?.token ?? 0
      const facts = factsOf(run, lease, 0)
      if (await client.lease('lease.take', { target, token: after, facts }, ctx.signal)) {
        if (dead) {
          const host = present?.facts?.holder ?? 'unknown'
          ctx.log.warn({ file: params.fileName, host }, 'the host that downloaded this image is silent; taking over')
        }
        const fromJob = present?.facts?.jobId
        return { token: after + 1, ...(dead && fromJob !== undefined ? { fromJob } : {}) }
      }
      continue
    }
    // Others move bytes meanwhile.
    run.slot.giveBack()
    if (!still) {
      if (followed?.token !== present.token) {
        const host = present.facts?.holder ?? 'unknown'
        ctx.log.info({ file: params.fileName, host }, 'another host downloads this image; following it')
      }
      followed = { token: present.token, counter, since: monotonicMs() }
      showProgress(run, present.facts)
    }
    await delay(beatMs(lease), ctx.signal)
  }
}

function showProgress({ ctx, onBytes }: DownloadRun, facts: LeaseFacts | undefined): void {
  if (facts === undefined) return
  const { phase, bytesDone, bytesTotal } = facts
  onBytes(bytesDone)
  ctx.progress({ phase, bytesDone, ...(bytesTotal > 0 ? { bytesTotal } : {}) })
}

function factsOf(
  { target }: DownloadRun,
  { holder }: LeaseSettings,
  counter: number,
  progress: Progress = { phase: 'downloading' },
): LeaseFacts {
  const { phase, bytesDone = 0, bytesTotal = 0 } = progress
  return { holder, jobId: target.jobId, counter, phase, bytesDone, bytesTotal }
}

function beatMs({ timeoutMs }: LeaseSettings): number {
  return Math.min(MAX_BEAT_MS, timeoutMs / 5)
}

/** A lease that is held: gives signs of life until it ends, and aborts the work when it is lost or cannot be kept up. */
class HeldLease {
  /** The run under this lease. */
  readonly run: DownloadRun
  readonly #token: number
  readonly #settings: LeaseSettings
  readonly #lost = new AbortController()
  readonly #ending = new AbortController()
  readonly #beating: Promise<void>
  #counter = 0
  #progress: Progress = { phase: 'downloading' }

  constructor(run: DownloadRun, token: number, settings: LeaseSettings) {
    const { ctx } = run
    const progress = (now: Progress) => {
      this.#progress = now
      ctx.progress(now)
    }
    this.run = { ...run, ctx: { ...ctx, progress, signal: AbortSignal.any([ctx.signal, this.#lost.signal]) } }
    this.#token = token
    this.#settings = settings
    this.#beating = this.#beat().catch(() => undefined)
  }

  get isLost(): boolean {
    return this.#lost.signal.aborted
  }

  /** Stops and gives the lease back. An agent that is stopping keeps it: it goes on with its own bytes when it is back, which is soon. */
  async end(): Promise<void> {
    this.#ending.abort()
    await this.#beating
    const { client, target, ctx } = this.run
    if (this.isLost || isInterrupted(ctx.signal)) return
    const params = { target, token: this.#token, facts: this.#facts() }
    await client
      .lease('lease.release', params, AbortSignal.timeout(RELEASE_TIMEOUT_MS))
      .catch((error: unknown) =>
        ctx.log.warn({ err: errorText(error) }, 'the lease on an image could not be given back'),
      )
  }

  async #beat(): Promise<void> {
    const { client, target } = this.run
    let keptAt = monotonicMs()
    for (;;) {
      await delay(beatMs(this.#settings), this.#ending.signal)
      this.#counter++
      const params = { target, token: this.#token, facts: this.#facts() }
      try {
        if (!(await client.lease('lease.beat', params, this.#ending.signal))) this.#lose('another host has taken over')
        keptAt = monotonicMs()
      } catch (error) {
        if (this.#ending.signal.aborted) return
        // Others take it for dead by now, or soon.
        if (monotonicMs() - keptAt > this.#settings.timeoutMs * 0.7) this.#lose(errorText(error))
      }
      if (this.isLost) return
    }
  }

  #lose(why: string): void {
    this.#lost.abort(new AgentError('LEASE_LOST', `the lease on ${this.run.target.fileName} was lost: ${why}`))
  }

  #facts(): LeaseFacts {
    return factsOf(this.run, this.#settings, this.#counter, this.#progress)
  }
}
