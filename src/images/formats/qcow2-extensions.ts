import { refuseIf } from './refusal.ts'
import { bytesAt, placeInFile, type ParserSteps, type Placed } from './steps.ts'

const EXTENSION = { end: 0, dataFile: 0x44415441, crypto: 0x0537be77, bitmaps: 0x23852875 } as const
/** More than the known ones, each at most once. */
const MAX_EXTENSIONS = 64
const MAX_BITMAPS = 65_535
const BITMAP_ENTRY_BYTES = 24
const MAX_BITMAP_DIRECTORY_BYTES = MAX_BITMAPS * 1024

/** What the header extensions of a qcow2 put elsewhere in the file. */
export interface Qcow2Extensions {
  readonly places: readonly Placed[]
}

/** Walks the header extensions, which begin at `headerLength` and end in the first cluster; refuses those that lead out of the file. */
export function* checkExtensions(
  headerLength: number,
  clusterSize: number,
  fileSizeBytes: number,
): ParserSteps<Qcow2Extensions> {
  const places: Placed[] = []
  let offset = headerLength
  for (let count = 0; offset + 8 <= clusterSize; count++) {
    refuseIf(count > MAX_EXTENSIONS, 'EXTENSION_INVALID', 'has too many header extensions')
    const head = yield* bytesAt(offset, 8, 'header extensions', fileSizeBytes)
    const [type, length] = [head.readUInt32BE(0), head.readUInt32BE(4)]
    if (type === EXTENSION.end) break
    refuseIf(type === EXTENSION.dataFile, 'DATA_FILE', 'keeps its data in another file')
    refuseIf(type === EXTENSION.crypto, 'ENCRYPTED', 'is encrypted')
    const next = offset + 8 + Math.ceil(length / 8) * 8
    refuseIf(next > clusterSize, 'EXTENSION_INVALID', 'has a header extension that leaves the first cluster')
    if (type === EXTENSION.bitmaps) places.push(yield* bitmapDirectory(offset + 8, length, fileSizeBytes))
    offset = next
  }
  return { places }
}

function* bitmapDirectory(offset: number, length: number, fileSizeBytes: number): ParserSteps<Placed> {
  refuseIf(length !== 24, 'EXTENSION_INVALID', 'has a malformed bitmaps extension')
  const data = yield* bytesAt(offset, length, 'header extensions', fileSizeBytes)
  const [count, reserved, size] = [data.readUInt32BE(0), data.readUInt32BE(4), data.readBigUInt64BE(8)]
  refuseIf(count === 0 || reserved !== 0, 'EXTENSION_INVALID', 'has a malformed bitmaps extension')
  const tooLarge = count > MAX_BITMAPS || size > BigInt(MAX_BITMAP_DIRECTORY_BYTES)
  refuseIf(tooLarge, 'TABLE_TOO_LARGE', 'has too large a bitmap directory')
  refuseIf(size < BigInt(count * BITMAP_ENTRY_BYTES), 'EXTENSION_INVALID', 'has too small a bitmap directory')
  return placeInFile('bitmap directory', data.readBigUInt64BE(16), Number(size), fileSizeBytes)
}
