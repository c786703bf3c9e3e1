import { ImageRefusal, refuseIf } from './refusal.ts'

/** Bytes that a parser asks for. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** A part of a parser: asks for ranges, gets bytes, has a result. */
export type ParserSteps<T> = Generator<ByteRange, T, Buffer>

/** The most a parser may ask for at once; `tableChunks` cuts larger tables. */
export const MAX_RANGE_BYTES = 1024 * 1024
/** The most it may ask for in all: the tables of the largest real images. */
export const MAX_TOTAL_BYTES = 64 * 1024 * 1024

/** The bytes of `what` at `offset`; TRUNCATED when the file of `fileSizeBytes` ends before them. */
export function* bytesAt(offset: number, length: number, what: string, fileSizeBytes: number): ParserSteps<Buffer> {
  refuseIf(offset + length > fileSizeBytes, 'TRUNCATED', `ends before its ${what}`)
  return yield { offset, length }
}

/** Gives a table that is known to be inside the file to `visit`, in chunks of whole entries. */
export function* eachChunk(
  offset: number,
  length: number,
  visit: (chunk: Buffer, chunkOffset: number) => void,
): ParserSteps<void> {
  for (let done = 0; done < length; done += MAX_RANGE_BYTES) {
    const part = Math.min(MAX_RANGE_BYTES, length - done)
    visit(yield { offset: offset + done, length: part }, done)
  }
}

/** Where a table is, after the checks that keep it inside the file. */
export interface Placed {
  readonly name: string
  readonly offset: number
  readonly length: number
}

/** TABLE_OVERLAP when any two of the places, each of at least one byte, share bytes. */
export function refuseOverlaps(places: readonly Placed[]): void {
  const sorted = places.filter(({ length }) => length > 0).toSorted((a, b) => a.offset - b.offset)
  sorted.reduce<Placed | undefined>((before, place) => {
    if (before !== undefined && before.offset + before.length > place.offset) {
      throw new ImageRefusal('TABLE_OVERLAP', `has its ${place.name} in its ${before.name}`)
    }
    return place
  }, undefined)
}

/** A 64-bit number of a header as a place in the file; TABLE_OUTSIDE_FILE naming `what` when it and `length` bytes are not in it. */
export function placeInFile(name: string, offset: bigint, length: number, fileSizeBytes: number): Placed {
  refuseIf(
    offset + BigInt(length) > BigInt(fileSizeBytes),
    'TABLE_OUTSIDE_FILE',
    `ends before its ${name}: it is incomplete or was tampered with`,
  )
  return { name, offset: Number(offset), length }
}
