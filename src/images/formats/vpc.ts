import { MAX_VIRTUAL_SIZE_BYTES, type ImageFormat, type ParsedImage } from './format.ts'
import { refuseIf } from './refusal.ts'
import { eachChunk, placeInFile, refuseOverlaps, type ParserSteps, type Placed } from './steps.ts'

const SECTOR = 512
const COOKIE = 'conectix'
const VERSION_1 = 0x0001_0000
const TYPE = { fixed: 2, dynamic: 3, differencing: 4 } as const
const DYNAMIC_HEADER_BYTES = 1024
const PARENT_LOCATORS = { offset: 576, count: 8, bytes: 24 } as const
/** Features, version and place of the header; sizes, geometry and type; identity and saved state. */
const STATED = [
  [8, 24],
  [40, 64],
  [68, 85],
] as const
const UNUSED = 0xffff_ffff
const MAX_MAP_BYTES = 16 * 2 ** 20

/** The VHD of Virtual PC, Hyper-V and Azure, fixed and dynamic ("Virtual Hard Disk Image Format Specification" 1.0). */
export const vpc: ImageFormat = {
  name: 'vpc',
  title: 'a VHD image',
  driver: 'vpc',
  marks: [{ offset: 0, bytes: COOKIE }],
  tailMarks: [{ offset: SECTOR, bytes: COOKIE }],
  // A fixed one is a raw disk with a footer.
  carries: ['raw'],
  weak: false,
  checkable: false,
  parse,
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  refuseIf(fileSizeBytes < 2 * SECTOR, 'TRUNCATED', 'ends before its footer')
  refuseIf(fileSizeBytes % SECTOR !== 0, 'TRUNCATED', 'ends in the middle of a sector')
  const footer = yield { offset: fileSizeBytes - SECTOR, length: SECTOR }
  refuseIf(footer.toString('latin1', 0, 8) !== COOKIE, 'TRUNCATED', 'does not end with a footer: it is incomplete')
  checkChecksum(footer, 64, 'footer')
  const version = footer.readUInt32BE(12)
  refuseIf(version !== VERSION_1, 'UNSUPPORTED_VERSION', `has the unsupported VHD version 0x${version.toString(16)}`)
  refuseIf(footer.readUInt8(84) !== 0, 'UNCLEAN', 'holds the saved state of a machine')
  const size = footer.readBigUInt64BE(48)
  refuseIf(
    size === 0n || size > BigInt(MAX_VIRTUAL_SIZE_BYTES),
    'VIRTUAL_SIZE_ABSURD',
    `claims an absurd virtual size of ${size} bytes`,
  )
  refuseIf(size % BigInt(SECTOR) !== 0n, 'ODD_SIZE', 'has a virtual size in the middle of a sector')
  const virtualSizeBytes = Number(size)
  const type = footer.readUInt32BE(60)
  refuseIf(type === TYPE.differencing, 'BACKING_FILE', 'needs a parent disk')
  if (type === TYPE.fixed) {
    const fits = virtualSizeBytes + SECTOR === fileSizeBytes
    refuseIf(!fits, 'VIRTUAL_SIZE_MISMATCH', `is a fixed disk of ${size} bytes in a file of ${fileSizeBytes}`)
    return { virtualSizeBytes, variant: 'fixed' }
  }
  refuseIf(type !== TYPE.dynamic, 'UNSUPPORTED_VARIANT', `is of the unknown VHD type ${type}`)
  yield* checkDynamic(footer, virtualSizeBytes, fileSizeBytes)
  return { virtualSizeBytes, variant: 'dynamic' }
}

function* checkDynamic(footer: Buffer, virtualSize: number, fileSizeBytes: number): ParserSteps<void> {
  const copy = yield { offset: 0, length: SECTOR }
  refuseIf(copy.toString('latin1', 0, 8) !== COOKIE, 'TABLE_MISSING', 'has no copy of its footer at the start')
  checkChecksum(copy, 64, 'copy of the footer')
  // Programs leave their name and the time in one of them only.
  const same = STATED.every(([from, to]) => copy.subarray(from, to).equals(footer.subarray(from, to)))
  refuseIf(!same, 'COPIES_DISAGREE', 'has a footer that contradicts its copy at the start')
  const at = footer.readBigUInt64BE(16)
  const place = placeInFile('dynamic header', at, DYNAMIC_HEADER_BYTES, fileSizeBytes)
  const header = yield place
  refuseIf(header.toString('latin1', 0, 8) !== 'cxsparse', 'HEADER_INVALID', 'has no dynamic header')
  checkChecksum(header, 36, 'dynamic header')
  const version = header.readUInt32BE(24)
  refuseIf(version !== VERSION_1, 'UNSUPPORTED_VERSION', `has a dynamic header of version 0x${version.toString(16)}`)
  refuseIf(namesParent(header), 'BACKING_FILE', 'names a parent disk')
  const blockBytes = header.readUInt32BE(32)
  const powerOfTwo = (blockBytes & (blockBytes - 1)) === 0
  const sane = powerOfTwo && blockBytes >= 4096 && blockBytes <= 256 * 2 ** 20
  refuseIf(!sane, 'CLUSTER_SIZE', `has blocks of ${blockBytes} bytes`)
  const entries = header.readUInt32BE(28)
  refuseIf(entries * 4 > MAX_MAP_BYTES, 'TABLE_TOO_LARGE', 'has too large a block table')
  const needed = Math.ceil(virtualSize / blockBytes)
  refuseIf(entries < needed, 'VIRTUAL_SIZE_MISMATCH', 'has too small a block table for its virtual size')
  const table = placeInFile('block table', header.readBigUInt64BE(16), entries * 4, fileSizeBytes)
  refuseIf(table.offset % SECTOR !== 0, 'TABLE_MISPLACED', 'has a misplaced block table')
  refuseOverlaps([{ name: 'footer copy', offset: 0, length: SECTOR }, place, table])
  yield* checkTable(table, blockBytes, fileSizeBytes - SECTOR)
}

function* checkTable(table: Placed, blockBytes: number, dataEnd: number): ParserSteps<void> {
  const bitmapBytes = Math.ceil(blockBytes / SECTOR / 8 / SECTOR) * SECTOR
  yield* eachChunk(table.offset, table.length, (chunk) => {
    for (let at = 0; at < chunk.length; at += 4) {
      const sector = chunk.readUInt32BE(at)
      if (sector === UNUSED) continue
      refuseIf(
        sector * SECTOR + bitmapBytes + blockBytes > dataEnd,
        'DATA_OUTSIDE_FILE',
        'ends before a block that its block table speaks of',
      )
    }
  })
}

function namesParent(header: Buffer): boolean {
  const { offset, count, bytes } = PARENT_LOCATORS
  const places = Array.from({ length: count }, (_, index) => header.readUInt32BE(offset + index * bytes))
  return places.some((platform) => platform !== 0) || header.subarray(40, 56).some((byte) => byte !== 0)
}

// One's complement of the sum of all bytes, those of the checksum left out.
function checkChecksum(bytes: Buffer, offset: number, name: string): void {
  let sum = 0
  for (const [index, byte] of bytes.entries()) if (index < offset || index >= offset + 4) sum += byte
  const right = ~sum >>> 0 === bytes.readUInt32BE(offset)
  refuseIf(!right, 'CHECKSUM_WRONG', `has a damaged ${name}: its checksum is wrong`)
}
