/** Limits of bytes per second; 0 = none. */
export interface RateLimits {
  /** All downloads of this host together. */
  readonly hostBytesPerSecond: number
  /** All downloads into a pool, by pool id. */
  readonly pools: Readonly<Record<string, number>>
}

/** A download as far as its share goes. */
export interface RateClaim {
  readonly jobId: string
  /** Empty outside pools. */
  readonly poolId: string
  /** Its own limit; 0 = none. */
  readonly bytesPerSecond: number
}

/**
 * What each job may take so that no limit of host, pool or job is exceeded, as even as the limits let it be (max-min fairness); 0 = all it can. A job that takes less than its share leaves the rest
 * unused.
 */
export function rateShares(claims: readonly RateClaim[], limits: RateLimits): ReadonlyMap<string, number> {
  const groups = [
    { cap: limits.hostBytesPerSecond, members: claims },
    ...Object.entries(limits.pools).map(([id, cap]) => ({ cap, members: claims.filter((each) => each.poolId === id) })),
    ...claims.map((claim) => ({ cap: claim.bytesPerSecond, members: [claim] })),
  ].filter(({ cap }) => cap > 0)
  const shares = new Map<string, number>()
  for (;;) {
    // The group that is used up first, when all who have no share yet get the same.
    let tightest: { level: number; members: readonly RateClaim[] } | undefined
    for (const { cap, members } of groups) {
      const open = members.filter(({ jobId }) => !shares.has(jobId))
      if (open.length === 0) continue
      const taken = members.reduce((sum, { jobId }) => sum + (shares.get(jobId) ?? 0), 0)
      const level = Math.max(1, Math.floor((cap - taken) / open.length))
      if (tightest === undefined || level < tightest.level) tightest = { level, members: open }
    }
    if (tightest === undefined) break
    for (const { jobId } of tightest.members) shares.set(jobId, tightest.level)
  }
  return new Map(claims.map(({ jobId }) => [jobId, shares.get(jobId) ?? 0]))
}
