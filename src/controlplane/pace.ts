import { delay, monotonicMs } from '../platform/clock.ts'

/** Time for the link's loops; tests put their own in its place. */
export interface Pace {
  /** Monotonic milliseconds. */
  now(): number
  /** Resolves after `ms`; rejects with the signal's reason when it fires. */
  delay(ms: number, signal: AbortSignal): Promise<void>
  /** 0 to 1. */
  random(): number
}

/** The process's own clock. */
export const realPace: Pace = { now: monotonicMs, delay, random: Math.random }

/** A sleep that can be ended early by `ring`; a ring while nobody sleeps ends the next sleep at once. */
export class Alarm {
  #pending = false
  #wake: AbortController | undefined

  /** Ends the present or the next sleep. */
  ring(): void {
    this.#pending = true
    this.#wake?.abort()
  }

  /** Sleeps until `pace` reaches `dueMs`, for ever when it is Infinity, or until `ring`. Rejects when `signal` fires. */
  async sleepUntil(dueMs: number, pace: Pace, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const wake = new AbortController()
    const onAbort = () => wake.abort()
    signal.addEventListener('abort', onAbort, { once: true })
    this.#wake = wake
    try {
      if (!this.#pending) await sleep(dueMs, pace, wake.signal)
    } finally {
      this.#pending = false
      this.#wake = undefined
      signal.removeEventListener('abort', onAbort)
    }
    signal.throwIfAborted()
  }
}

async function sleep(dueMs: number, pace: Pace, wake: AbortSignal): Promise<void> {
  const { promise: rung, resolve } = Promise.withResolvers<void>()
  wake.addEventListener('abort', () => resolve(), { once: true })
  if (dueMs === Number.POSITIVE_INFINITY) return rung
  await pace.delay(Math.max(0, dueMs - pace.now()), wake).catch((error: unknown) => {
    if (!wake.aborted) throw error
  })
}
