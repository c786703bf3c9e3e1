import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { matchesEvent, type EventDraft, type EventFilter, type NodeEvent } from '../core/events.ts'
import type { EventFile } from './event-file.ts'

/** Events in memory: what a reader may fall behind, and what one that comes back can be told again. */
const MAX_KEPT = 5000
/** Numbers that are left out at a start without a reservation: some may have been told whose lines a crash has taken. */
const RESTART_GAP = 1000
/** Numbers that are reserved on disk at once, so that a full disk has to be no hindrance for long; as many are left out at a start at most. */
const RESERVED = 10_000

/** Where events are published: by those who see them happen. */
export interface EventSink {
  publish(draft: EventDraft): NodeEvent
}

/**
 * The events of this host, numbered, kept in memory and in a file. Readers take them at their own pace from a number of their choice; publishing waits for nobody, neither readers nor the disk. A file that cannot be
 * written is said in the log once, and events go on in memory.
 */
export class EventLog implements EventSink {
  readonly #log: Logger
  readonly #file: EventFile | undefined
  #kept: NodeEvent[] = []
  #last = 0
  #reserved = 0
  readonly #readers = new Set<() => void>()
  #unwritten: NodeEvent[] = []
  #writing: Promise<void> | undefined
  #fileBroken = false

  constructor(log: Logger, file?: EventFile) {
    this.#log = log.child({ component: 'events' })
    this.#file = file
  }

  /** Takes up the events of earlier runs. */
  async load(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    const [kept, reserved] = await Promise.allSettled([file.load(MAX_KEPT), file.reserved()])
    for (const each of [kept, reserved])
      if (each.status === 'rejected')
        this.#log.warn({ err: errorText(each.reason) }, 'the events of before cannot be read')
    // Sorted, since places are found by their numbers, whatever somebody has done to the file.
    if (kept.status === 'fulfilled') this.#kept = kept.value.sort((a, b) => Number(a.id) - Number(b.id))
    const last = Number(this.#kept.at(-1)?.id ?? 0)
    this.#reserved = reserved.status === 'fulfilled' ? reserved.value : 0
    this.#last = Math.max(last >= this.#reserved && last > 0 ? last + RESTART_GAP : 0, this.#reserved)
    await this.#reserve(file).catch((error: unknown) => {
      this.#log.warn({ err: errorText(error) }, 'numbers of events cannot be reserved')
    })
  }

  /** Number of the newest event; 0 = none yet. */
  get last(): number {
    return this.#last
  }

  /** Numbers an event and tells it to everybody who reads. */
  publish(draft: EventDraft): NodeEvent {
    const event: NodeEvent = { id: String(++this.#last), timestamp: Date.now(), ...draft }
    this.#kept.push(event)
    // In pieces: moving thousands of elements for each event would cost more than the event.
    if (this.#kept.length > MAX_KEPT * 1.2) this.#kept.splice(0, this.#kept.length - MAX_KEPT)
    if (this.#file !== undefined) {
      this.#unwritten.push(event)
      this.#writing ??= this.#write(this.#file).finally(() => (this.#writing = undefined))
    }
    for (const wake of [...this.#readers]) wake()
    return event
  }

  /** The newest that are wanted, oldest first; only those after the number `after`, if given: then the first of them. */
  list(filter: EventFilter, limit: number, after?: number): NodeEvent[] {
    const found = this.#kept
      .slice(after === undefined ? 0 : this.#indexAfter(after))
      .filter((event) => matchesEvent(filter, event))
    return after === undefined ? found.slice(Math.max(0, found.length - limit)) : found.slice(0, limit)
  }

  /**
   * Events as they happen, until `signal` fires: those after the number `after` that are kept, first. Without it, from now on; with one that was never given out (the state directory was lost), all that are kept. A reader that falls too far behind
   * misses the oldest, and sees it by the gap in the numbers.
   */
  read(signal: AbortSignal, after?: number): AsyncIterable<NodeEvent> {
    let position = after === undefined || after < 0 ? this.#last : after > this.#last ? 0 : after
    let wake: (() => void) | undefined
    const onEvent = () => wake?.()
    // Registered when this returns, since the position is of now.
    const next = () => this.#kept[this.#indexAfter(position)]
    const readers = this.#readers
    async function* read(): AsyncGenerator<NodeEvent, void, undefined> {
      readers.add(onEvent)
      signal.addEventListener('abort', onEvent, { once: true })
      try {
        for (;;) {
          if (signal.aborted) return
          const event = next()
          if (event !== undefined) {
            position = Number(event.id)
            yield event
            continue
          }
          const { promise, resolve } = Promise.withResolvers<void>()
          wake = resolve
          await promise
          wake = undefined
        }
      } finally {
        readers.delete(onEvent)
        signal.removeEventListener('abort', onEvent)
      }
    }
    return read()
  }

  /** Resolves when everything published so far is written, as far as that is possible. */
  async flush(): Promise<void> {
    await this.#writing
  }

  // Numbers increase, so the place is found by halving.
  #indexAfter(after: number): number {
    let [low, high] = [0, this.#kept.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (Number(this.#kept[middle]?.id) > after) high = middle
      else low = middle + 1
    }
    return low
  }

  async #reserve(file: EventFile): Promise<void> {
    if (this.#reserved - this.#last >= RESERVED / 2) return
    const last = this.#last + RESERVED
    await file.reserve(last)
    this.#reserved = last
  }

  async #write(file: EventFile): Promise<void> {
    // One turn later: events come in bunches.
    await Promise.resolve()
    while (this.#unwritten.length > 0) {
      const events = this.#unwritten.splice(0)
      try {
        await file.add(events)
        await this.#reserve(file)
        this.#fileBroken = false
      } catch (error) {
        if (!this.#fileBroken)
          this.#log.warn({ err: errorText(error) }, 'events cannot be written down; they go on in memory')
        this.#fileBroken = true
      }
    }
  }
}
