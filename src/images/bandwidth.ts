import { AgentError } from '../core/errors.ts'
import type { StateCollection } from '../platform/state-store.ts'
import { rateShares, type RateClaim, type RateLimits } from './rate-shares.ts'

/** What is kept of limits: those of host and pools under `limits`, that of a job under its id. */
export type StoredRates = RateLimits | { readonly bytesPerSecond: number }

type Apply = (bytesPerSecond: number) => void

const LIMITS_KEY = 'limits'
/** Below it a transfer could not be told from one that stalls. */
const LEAST_BYTES_PER_SECOND = 64 * 1024

/** Divides the network among the downloads that run, by limits that can be changed at any time and outlive the agent. */
export class Bandwidth {
  readonly #store: StateCollection<StoredRates>
  #limits: RateLimits
  readonly #jobs = new Map<string, { claim: RateClaim; readonly apply: Apply; applied: number }>()

  /** `limits` hold until others are set. */
  constructor(store: StateCollection<StoredRates>, limits: RateLimits) {
    this.#store = store
    this.#limits = limits
  }

  /** Takes up what was set in earlier runs. Before `join`. */
  async load(): Promise<void> {
    const kept = await this.#store.get(LIMITS_KEY)
    if (kept !== undefined && 'pools' in kept) this.#limits = kept
  }

  /** The limits of host and pools. */
  limits(): RateLimits {
    return this.#limits
  }

  /** Sets the limits of host and pools; running downloads follow at once. Errors: INVALID_REQUEST, STATE_NOT_WRITABLE. */
  async setLimits(limits: RateLimits): Promise<void> {
    const pools = Object.fromEntries(Object.entries(limits.pools).filter(([, limit]) => limit > 0))
    for (const limit of [limits.hostBytesPerSecond, ...Object.values(pools)]) checkLimit(limit)
    const next = { hostBytesPerSecond: limits.hostBytesPerSecond, pools }
    await this.#store.put(LIMITS_KEY, next)
    this.#limits = next
    this.#share()
  }

  /** Sets the limit of a job that has not ended (0 = none); it is kept until `forget`. Errors: INVALID_REQUEST, STATE_NOT_WRITABLE. */
  async limitJob(jobId: string, bytesPerSecond: number): Promise<void> {
    checkLimit(bytesPerSecond)
    await this.#store.put(jobId, { bytesPerSecond })
    const job = this.#jobs.get(jobId)
    if (job === undefined) return
    job.claim = { ...job.claim, bytesPerSecond }
    this.#share()
  }

  /** Counts a download from now on; `apply` is told its share (0 = no limit), now and whenever it changes. Returns what ends it. */
  async join(jobId: string, poolId: string, apply: Apply): Promise<() => void> {
    const kept = await this.#store.get(jobId)
    const bytesPerSecond = kept !== undefined && 'bytesPerSecond' in kept ? kept.bytesPerSecond : 0
    this.#jobs.set(jobId, { claim: { jobId, poolId, bytesPerSecond }, apply, applied: 0 })
    this.#share()
    return () => {
      this.#jobs.delete(jobId)
      this.#share()
    }
  }

  /** Forgets the limit of a job that has ended. */
  async forget(jobId: string): Promise<void> {
    await this.#store.delete(jobId)
  }

  #share(): void {
    const jobs = [...this.#jobs.values()]
    const shares = rateShares(
      jobs.map(({ claim }) => claim),
      this.#limits,
    )
    for (const job of jobs) {
      const share = shares.get(job.claim.jobId) ?? 0
      if (share === job.applied) continue
      job.applied = share
      job.apply(share)
    }
  }
}

function checkLimit(bytesPerSecond: number): void {
  if (bytesPerSecond === 0 || bytesPerSecond >= LEAST_BYTES_PER_SECOND) return
  throw new AgentError(
    'INVALID_REQUEST',
    `a rate limit is at least ${LEAST_BYTES_PER_SECOND} bytes per second, or 0 for none`,
  )
}
