import { abortable } from '../core/keyed-lock.ts'

/** Memory that is filled from its beginning to its end, so that a socket can read straight into it. */
export interface ByteMemory {
  /** Memory for the next bytes; undefined while there is none. */
  space(): Uint8Array | undefined
  /** `bytes` were put at the start of what `space` returned. */
  advance(bytes: number): void
  /** Set by the producer; called when there is space again. */
  onSpace: (() => void) | undefined
}

/** Bytes in pieces, each of which is good until the next one is asked for. */
export interface ByteStream extends AsyncIterable<Buffer> {
  /**
   * Brings what was not taken yet into `memory`, without a copy as far as possible, and resolves at the end; takes the place of further iteration. Absent where nothing is gained by that. Errors: those of the iteration,
   * the abort reason.
   */
  readonly pour?: (memory: ByteMemory, signal: AbortSignal) => Promise<void>
}

/** Copies as much of `bytes` into `memory` as there is space for now; returns how much that was. */
export function fillNow(memory: ByteMemory, bytes: Uint8Array): number {
  let done = 0
  while (done < bytes.length) {
    const space = memory.space()
    if (space === undefined) break
    const part = bytes.subarray(done, done + space.length)
    space.set(part)
    memory.advance(part.length)
    done += part.length
  }
  return done
}

/** Copies all of `bytes` into `memory`, as it gets space. Errors: the abort reason. */
export async function fill(memory: ByteMemory, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  for (let done = fillNow(memory, bytes); done < bytes.length; done += fillNow(memory, bytes.subarray(done))) {
    await abortable(new Promise<void>((resolve) => (memory.onSpace = resolve)), signal)
  }
}

/** Brings all of `stream` into `memory`, in the way that the stream has. Errors: those of the stream, the abort reason. */
export async function pourInto(memory: ByteMemory, stream: ByteStream, signal: AbortSignal): Promise<void> {
  if (stream.pour !== undefined) return stream.pour(memory, signal)
  for await (const piece of stream) {
    await fill(memory, piece, signal)
    signal.throwIfAborted()
  }
}
