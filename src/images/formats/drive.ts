import type { ParsedImage } from './format.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import { MAX_RANGE_BYTES, MAX_TOTAL_BYTES, type ByteRange, type ParserSteps } from './steps.ts'

/** Fills a buffer with exactly the asked bytes; fewer when the file has become shorter. */
export type ReadRange = (range: ByteRange) => Promise<Buffer>

/** Runs a parser over a file. Errors: ImageRefusal, those of `read`. */
export async function parseFile(steps: ParserSteps<ParsedImage>, read: ReadRange): Promise<ParsedImage> {
  const budget = new Budget()
  let step = steps.next()
  while (!step.done) {
    budget.take(step.value)
    const bytes = await read(step.value)
    refuseIf(bytes.length !== step.value.length, 'TRUNCATED', 'became shorter while it was read')
    step = steps.next(bytes)
  }
  return step.value
}

/** Runs a parser over the first bytes of a file that is still arriving; undefined when it comes to bytes that are not there yet without having found fault. */
export function parseHead(steps: ParserSteps<ParsedImage>, head: Buffer): ParsedImage | undefined {
  const budget = new Budget()
  let step = steps.next()
  while (!step.done) {
    budget.take(step.value)
    const { offset, length } = step.value
    if (offset + length > head.length) return undefined
    step = steps.next(head.subarray(offset, offset + length))
  }
  return step.value
}

/** Keeps a parser to what real images need, whatever their headers say. */
class Budget {
  #left = MAX_TOTAL_BYTES
  #reads = MAX_TOTAL_BYTES / 512

  take({ offset, length }: ByteRange): void {
    const sane = Number.isSafeInteger(offset) && offset >= 0 && length > 0 && length <= MAX_RANGE_BYTES
    if (!sane) throw new RangeError(`a parser asks for ${length} bytes at ${offset}`)
    this.#left -= length
    this.#reads--
    if (this.#left < 0 || this.#reads < 0)
      throw new ImageRefusal('TABLE_TOO_LARGE', 'has more tables than any real image')
  }
}
