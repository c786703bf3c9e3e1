/** Ends the waiting of `until` at once: waiting longer cannot help. */
export class Fatal extends Error {}

/** One JSON call to the agent's HTTP API; throws with the agent's own words on any status but 2xx. */
export async function http<T>(method: string, url: string, body?: unknown): Promise<T> {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(60_000),
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${new URL(url).pathname} answered ${response.status}: ${text}`)
  return (text === '' ? undefined : JSON.parse(text)) as T
}

/** Asks `probe` again every `intervalMs` until it returns a value; the error at the deadline carries `what` and the last reason. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  intervalMs: number,
  probe: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let last = ''
  while (performance.now() < deadline) {
    try {
      const value = await probe()
      if (value !== undefined) return value
    } catch (error) {
      if (error instanceof Fatal) throw error
      last = `: ${(error as Error).message}`
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs))
  }
  throw new Error(`${what} did not happen within ${timeoutMs / 1000} s${last}`)
}
