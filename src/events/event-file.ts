import { appendFile, mkdir, open, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { EVENT_KINDS, type NodeEvent, type NodeEventType } from '../core/events.ts'
import { readTextIfPresent, writeFileAtomic } from '../platform/files.ts'
import { isFiniteNumber, isOneOf, isShape, isText, parseShape, type Check } from '../core/shape.ts'

/** At this size the file becomes the older one, and a new one begins. */
const MAX_BYTES = 2 * 1024 * 1024

/** Events as JSON lines in `events.jsonl`, those before in `events.1.jsonl`. A line that a crash has cut, or that somebody has spoilt, costs itself only. */
export class EventFile {
  readonly #directory: string
  #sizeBytes = 0
  /** The last line may be without its end: a crash or a full disk has cut it. */
  #cut = false

  constructor(directory: string) {
    this.#directory = directory
  }

  /** What is kept, oldest first, at most the last `limit`. */
  async load(limit: number): Promise<NodeEvent[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const [older, newer] = await Promise.all([this.#file(1), this.#file(0)].map(readTail))
    this.#sizeBytes = await stat(this.#file(0)).then(
      ({ size }) => size,
      () => 0,
    )
    this.#cut = newer !== '' && newer?.endsWith('\n') !== true
    return `${older ?? ''}\n${newer ?? ''}`.split('\n').flatMap(decode).slice(-limit)
  }

  /** Up to which number all may have been given out, as `reserve` has it; 0 = nothing is written down. */
  async reserved(): Promise<number> {
    const number = Number((await readTextIfPresent(this.#numbers))?.trim() ?? 0)
    return Number.isSafeInteger(number) && number > 0 ? number : 0
  }

  /** Writes down, before they are given out, that numbers up to `last` may be: so none is used twice, even when events cannot be written. */
  async reserve(last: number): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    await writeFileAtomic(this.#numbers, `${last}\n`)
  }

  get #numbers(): string {
    return path.join(this.#directory, 'reserved-numbers')
  }

  /** Adds events behind the others. Rejects when the disk is full; what came before stays. */
  async add(events: readonly NodeEvent[]): Promise<void> {
    await this.#append(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  }

  async #append(text: string): Promise<void> {
    if (this.#sizeBytes > MAX_BYTES) {
      await rename(this.#file(0), this.#file(1))
      this.#sizeBytes = 0
    }
    // What is appended must not become a part of an unfinished line.
    const whole = this.#cut ? `\n${text}` : text
    this.#cut = true
    await appendFile(this.#file(0), whole, { mode: 0o600 })
    this.#cut = false
    this.#sizeBytes += Buffer.byteLength(whole)
  }

  #file(age: number): string {
    return path.join(this.#directory, age === 0 ? 'events.jsonl' : `events.${age}.jsonl`)
  }
}

// Never more than what one rotation leaves, whatever somebody has put there.
async function readTail(file: string): Promise<string> {
  const handle = await open(file).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
  if (handle === undefined) return ''
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(Math.min(size, 2 * MAX_BYTES))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, size - buffer.length)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

const isTexts: Check<Record<string, string>> = (value): value is Record<string, string> =>
  typeof value === 'object' && value !== null && Object.values(value).every(isText)

// Kinds of a newer version of the agent are not among it.
const isEvent = isShape<NodeEvent>({
  id: (value): value is string => isText(value) && /^\d{1,15}$/.test(value),
  timestamp: isFiniteNumber,
  type: isOneOf(Object.keys(EVENT_KINDS) as NodeEventType[]),
  vmId: isText,
  message: isText,
  metadata: isTexts,
})

function decode(line: string): NodeEvent[] {
  const event = parseShape(line, isEvent)
  return event === undefined ? [] : [event]
}
