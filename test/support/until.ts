import { setTimeout as pause } from 'node:timers/promises'

/** Asks `probe` again until it gives a truthy value, which is returned; fails after 60 s. For conditions nothing announces. */
export async function until<T>(probe: () => Promise<T | undefined | false>, timeoutMs = 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`the condition was not met within ${timeoutMs / 1000} s`)
    await pause(50)
  }
}
