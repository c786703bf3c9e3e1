import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseFile } from '../../../../src/images/formats/drive.ts'
import type { ImageFormat, ParsedImage } from '../../../../src/images/formats/format.ts'
import { MAX_VIRTUAL_SIZE_BYTES } from '../../../../src/images/formats/format.ts'
import { IMAGE_FORMATS } from '../../../../src/images/formats/formats.ts'
import { identify } from '../../../../src/images/formats/identify.ts'
import { ImageRefusal } from '../../../../src/images/formats/refusal.ts'
import type { ByteRange } from '../../../../src/images/formats/steps.ts'

/** A file of any size that is not in memory: zeros, and what is written at some places. */
interface ThinFile {
  readonly size: number
  readonly patches: readonly { readonly offset: number; readonly bytes: Uint8Array }[]
}

function readThin({ size, patches }: ThinFile, { offset, length }: ByteRange): Buffer {
  expect(offset).toBeGreaterThanOrEqual(0)
  expect(offset + length).toBeLessThanOrEqual(size)
  const range = Buffer.alloc(length)
  for (const { offset: at, bytes } of patches) {
    const from = Math.max(0, offset - at)
    if (from < bytes.length && at + from < offset + length)
      range.set(bytes.subarray(from, from + offset + length - (at + from)), at + from - offset)
  }
  return range
}

/** What comes of a file: facts or a refusal, never another error. */
async function outcome(format: ImageFormat, file: ThinFile): Promise<ParsedImage | ImageRefusal> {
  try {
    return await parseFile(format.parse(file.size), (range) => Promise.resolve(readThin(file, range)))
  } catch (error) {
    if (error instanceof ImageRefusal) return error
    throw error
  }
}

// The numbers that break parsers, and the texts they look for.
const number = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 511n, 512n, 513n, 65_536n, 2n ** 20n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 46n, 2n ** 63n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 4096n }),
)
const field = fc.tuple(number, fc.constantFrom(2, 4, 8), fc.boolean()).map(([value, bytes, little]) => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(value)
  const part = buffer.subarray(8 - bytes)
  return little ? part.toReversed() : part
})
const words = [
  'head',
  'regi',
  'metadata',
  'cxsparse',
  'conectix',
  'CD001',
  'EFI PART',
  '# Disk DescriptorFile\n',
  'KDMV',
  '\xff'.repeat(16),
]
const word = fc.constantFrom(...words).map((text) => Buffer.from(text, 'latin1'))
const size = fc.oneof(
  fc.integer({ min: 0, max: 4096 }),
  fc.integer({ min: 0, max: 2 ** 20 }),
  fc.constantFrom(2 ** 20, 2 ** 30, 2 ** 40, 2 ** 46, 2 ** 52),
)
const place = (end: number) =>
  fc.oneof(
    fc.integer({ min: 0, max: 600 }),
    fc.integer({ min: 0, max: end }),
    fc.constantFrom(0, 32_768, 65_536, 196_608),
  )
const patch = (end: number) =>
  fc.record({
    offset: place(end),
    bytes: fc.oneof(field, word, fc.uint8Array({ maxLength: 64 })),
  })

describe.each(IMAGE_FORMATS)('the parser of $name', (format) => {
  const marks = [...format.marks, ...format.tailMarks]
  const file = fc.record({ size, mark: fc.constantFrom(...marks) }).chain(({ size: bytes, mark }) => {
    const tail = format.tailMarks.includes(mark)
    const marked = {
      offset: tail ? Math.max(0, bytes - mark.offset) : mark.offset,
      bytes: Buffer.from(mark.bytes, 'latin1'),
    }
    return fc
      .array(patch(Math.min(bytes, 2 ** 20)), { maxLength: 40 })
      .map((patches) => ({ size: bytes, patches: [...patches, marked] }))
  })

  it('never does anything but tell or refuse, and stays inside the file', async () => {
    await fc.assert(
      fc.asyncProperty(file, async (thin) => {
        const result = await outcome(format, thin)
        if (result instanceof ImageRefusal) return
        expect(result.virtualSizeBytes).toBeGreaterThan(0)
        expect(result.virtualSizeBytes).toBeLessThanOrEqual(MAX_VIRTUAL_SIZE_BYTES)
      }),
      { numRuns: 1500 },
    )
  })

  it('survives a file that becomes shorter while it is read', async () => {
    await fc.assert(
      fc.asyncProperty(file, fc.nat(5), async (thin, reads) => {
        let left = reads
        const wait = parseFile(format.parse(thin.size), (range) => {
          const bytes = readThin(thin, range)
          return Promise.resolve(left-- > 0 ? bytes : bytes.subarray(0, bytes.length - 1))
        })
        await wait.catch((error: unknown) => expect(error).toBeInstanceOf(ImageRefusal))
      }),
      { numRuns: 300 },
    )
  })
})

describe('identify', () => {
  it('names one format or refuses, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(patch(4096), { maxLength: 10 }), fc.uint8Array({ maxLength: 512 }), (patches, tail) => {
        const head = readThin({ size: 69_632, patches }, { offset: 0, length: 69_632 })
        try {
          expect(IMAGE_FORMATS).toContain(identify(head, Buffer.from(tail)))
        } catch (error) {
          expect(error).toBeInstanceOf(ImageRefusal)
        }
      }),
    )
  })
})
