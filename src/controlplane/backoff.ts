const FIRST_MS = 1_000
const MAX_MS = 60_000

/**
 * Waiting time before attempt `failures + 1`: doubles from 1 s to 60 s, the upper half of it random, so that a rack of agents does not come back in step. A
 * server's Retry-After makes it longer, at most 60 s.
 */
export function backoffMs(failures: number, random: number, retryAfterMs = 0): number {
  const full = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10))
  return Math.min(MAX_MS, Math.max(full * (0.5 + random / 2), retryAfterMs))
}
