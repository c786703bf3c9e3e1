/** Milliseconds since an arbitrary start; never jumps with the wall clock. Use it for every duration and deadline. */
export function monotonicMs(): number {
  return performance.now()
}

/** Resolves after `ms`, or rejects with the signal's reason as soon as it fires. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error)
      return
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
