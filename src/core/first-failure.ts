/** What only can fail: whoever waits for something else races it with `failure`. */
export interface FirstFailure {
  /** Rejects with the first error. Who is not waiting when that comes is not interrupted, and meets it when he waits again. */
  readonly failure: Promise<never>
  readonly fail: (error: unknown) => void
}

/** A new one, that has not failed. */
export function firstFailure(): FirstFailure {
  const { promise, reject } = Promise.withResolvers<never>()
  // Not lost: it stays rejected for everybody who looks.
  promise.catch(() => undefined)
  return { failure: promise, fail: reject }
}
