import { toAgentError } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'

/** One event of a stream of server-sent events (HTML standard, section 9.2). */
export interface ServerEvent {
  readonly id: string
  readonly event: string
  readonly data: unknown
}

/** Shorter than what proxies usually allow a connection to be silent. */
const KEEP_ALIVE_MS = 15_000
/** How long a client waits before it connects again. */
const RETRY_MS = 2_000

/**
 * `events` in the format of text/event-stream, with a comment whenever nothing else was to be told for a while. Nothing is taken from `events` before the reader
 * wants it. When `signal` fires the stream ends as if there were no more: the client connects again and says what it had.
 */
export async function* eventStream(
  events: AsyncIterable<ServerEvent>,
  signal: AbortSignal,
  keepAliveMs = KEEP_ALIVE_MS,
): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n\n`
  const source = events[Symbol.asyncIterator]()
  try {
    for (let next = source.next(); ;) {
      const quiet = new AbortController()
      const waited = delay(keepAliveMs, quiet.signal).catch(() => undefined)
      const result = await Promise.race([next, waited]).finally(() => quiet.abort())
      if (result === undefined) {
        yield ': keep-alive\n\n'
        continue
      }
      if (result.done === true) return
      yield encode(result.value)
      next = source.next()
    }
  } catch (error) {
    if (!signal.aborted) throw toAgentError(error)
  } finally {
    await source.return?.()
  }
}

// JSON has no line breaks of its own, so one data line carries it.
function encode({ id, event, data }: ServerEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
