import type { Logger } from '../core/context.ts'

/** What a slow reader may fall behind before it loses the oldest events. */
const MAX_BUFFERED = 1000

/** Hands each published value to every present reader, in order; readers that are too slow lose the oldest ones. */
export class EventStream<T> {
  readonly #readers = new Set<(value: T) => void>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  publish(value: T): void {
    for (const push of this.#readers) push(value)
  }

  /** Values from now on until `signal` fires; the reader is registered when this returns. */
  subscribe(signal: AbortSignal): AsyncIterable<T> {
    const buffer: T[] = []
    let wake: (() => void) | undefined
    let lost = 0
    const push = (value: T) => {
      buffer.push(value)
      if (buffer.length > MAX_BUFFERED) {
        buffer.shift()
        if (lost++ === 0) this.#log.warn({}, 'a reader of events is too slow and loses some')
      }
      wake?.()
    }
    const end = () => {
      this.#readers.delete(push)
      wake?.()
    }
    if (!signal.aborted) {
      this.#readers.add(push)
      signal.addEventListener('abort', end, { once: true })
    }
    async function* read(): AsyncGenerator<T, void, undefined> {
      try {
        for (;;) {
          const value = buffer.shift()
          if (value !== undefined) {
            yield value
            continue
          }
          if (signal.aborted) return
          const { promise, resolve } = Promise.withResolvers<void>()
          wake = resolve
          await promise
          wake = undefined
        }
      } finally {
        signal.removeEventListener('abort', end)
        end()
      }
    }
    return read()
  }
}
