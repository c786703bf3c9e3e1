import { MAX_VIRTUAL_SIZE_BYTES, type ImageFormat, type ParsedImage } from './format.ts'
import { checkExtensions } from './qcow2-extensions.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import { bytesAt, eachChunk, placeInFile, refuseOverlaps, type ParserSteps, type Placed } from './steps.ts'

const FEATURE = { dirty: 1n, corrupt: 2n, dataFile: 4n, compressionType: 8n, extendedL2: 16n } as const
const KNOWN_FEATURES = Object.values(FEATURE).reduce((all, bit) => all | bit, 0n)
/** The data is what the file of raw data beside it says, another way to say "data file". */
const AUTOCLEAR_RAW_EXTERNAL = 2n

const MAX_L1_BYTES = 32 * 2 ** 20
const MAX_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20
const MAX_SNAPSHOTS = 65_536
const SNAPSHOT_ENTRY_BYTES = 40
/** Bits 9 to 55 of a table entry are the offset, bit 63 says that nobody shares what is there. */
const L1_OFFSET = 0x00ff_ffff_ffff_fe00n
const L1_RESERVED = 0x7f00_0000_0000_01ffn

interface Header {
  readonly version: number
  readonly headerLength: number
  readonly features: bigint
  readonly compression: 'zlib' | 'zstd'
}

/**
 * qcow2, versions 2 and 3 (QEMU docs/interop/qcow2.rst). Internal snapshots are no danger as long as their tables are in the file, which is checked: nobody reads them, and a VM's disk that is
 * used as an image may have some.
 */
export const qcow2: ImageFormat = {
  name: 'qcow2',
  title: 'a qcow2 image',
  driver: 'qcow2',
  marks: [{ offset: 0, bytes: 'QFI\xfb' }],
  tailMarks: [],
  carries: [],
  weak: false,
  checkable: true,
  parse,
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  const start = yield* bytesAt(0, 72, 'header', fileSizeBytes)
  const version = start.readUInt32BE(4)
  refuseIf(version !== 2 && version !== 3, 'UNSUPPORTED_VERSION', `has the unsupported qcow2 version ${version}`)
  refuseIf(start.readBigUInt64BE(8) !== 0n || start.readUInt32BE(16) !== 0, 'BACKING_FILE', 'refers to a backing file')
  const clusterBits = start.readUInt32BE(20)
  refuseIf(clusterBits < 9 || clusterBits > 21, 'CLUSTER_SIZE', `has the impossible cluster size 2^${clusterBits}`)
  refuseIf(start.readUInt32BE(32) !== 0, 'ENCRYPTED', 'is encrypted')
  const clusterSize = 2 ** clusterBits

  const v3 = version === 3 ? yield* parseVersion3(fileSizeBytes, clusterSize) : VERSION_2
  refuseIf((v3.features & FEATURE.dataFile) !== 0n, 'DATA_FILE', 'keeps its data in another file')
  refuseIf((v3.features & FEATURE.corrupt) !== 0n, 'CORRUPT', 'is marked as corrupt')
  refuseIf((v3.features & FEATURE.dirty) !== 0n, 'UNCLEAN', 'was not closed cleanly')
  const unknown = v3.features & ~KNOWN_FEATURES
  refuseIf(unknown !== 0n, 'UNKNOWN_FEATURE', `needs unknown features (0x${unknown.toString(16)})`)
  const extensions = yield* checkExtensions(v3.headerLength, clusterSize, fileSizeBytes)

  const virtualSizeBytes = checkVirtualSize(start.readBigUInt64BE(24))
  const entrySize = (v3.features & FEATURE.extendedL2) !== 0n ? 16 : 8
  const l1 = l1Table(start, virtualSizeBytes, (clusterSize / entrySize) * clusterSize, fileSizeBytes)
  const places = [
    { name: 'header', offset: 0, length: clusterSize },
    l1,
    refcountTable(start, clusterSize, fileSizeBytes),
    ...extensions.places,
  ]
  const misplaced = places.find(({ offset }) => offset % clusterSize !== 0)
  refuseIf(misplaced !== undefined, 'TABLE_MISPLACED', `has a misplaced ${misplaced?.name}`)
  places.push(...(yield* snapshotTable(start, clusterSize, fileSizeBytes)))
  refuseOverlaps(places)
  yield* checkL1Entries(l1, clusterSize, fileSizeBytes)
  return { virtualSizeBytes, variant: `v${version}, ${v3.compression}` }
}

const VERSION_2: Header = { version: 2, headerLength: 72, features: 0n, compression: 'zlib' }

function* parseVersion3(fileSizeBytes: number, clusterSize: number): ParserSteps<Header> {
  const more = yield* bytesAt(0, 112, 'header', fileSizeBytes)
  const headerLength = more.readUInt32BE(100)
  const sane = headerLength >= 104 && headerLength % 8 === 0 && headerLength <= Math.min(4096, clusterSize)
  refuseIf(!sane, 'HEADER_INVALID', 'has a header of impossible length')
  const refcountOrder = more.readUInt32BE(96)
  refuseIf(refcountOrder > 6, 'HEADER_INVALID', `has the impossible reference count width 2^${refcountOrder}`)
  const features = more.readBigUInt64BE(72)
  refuseIf(
    (more.readBigUInt64BE(88) & AUTOCLEAR_RAW_EXTERNAL) !== 0n,
    'DATA_FILE',
    'says that its data is in another file',
  )
  const type = headerLength > 104 ? more.readUInt8(104) : 0
  refuseIf(type > 1, 'UNKNOWN_FEATURE', `uses the unknown compression type ${type}`)
  const stated = (features & FEATURE.compressionType) !== 0n
  refuseIf((type !== 0) !== stated, 'HEADER_INVALID', 'contradicts itself about its compression')
  return { version: 3, headerLength, features, compression: type === 1 ? 'zstd' : 'zlib' }
}

function checkVirtualSize(virtualSize: bigint): number {
  refuseIf(virtualSize === 0n, 'VIRTUAL_SIZE_ABSURD', 'has a virtual size of 0')
  refuseIf(
    virtualSize > BigInt(MAX_VIRTUAL_SIZE_BYTES),
    'VIRTUAL_SIZE_ABSURD',
    `claims an absurd virtual size of ${virtualSize} bytes`,
  )
  refuseIf(
    virtualSize % 512n !== 0n,
    'ODD_SIZE',
    `has a virtual size of ${virtualSize} bytes, in the middle of a sector`,
  )
  return Number(virtualSize)
}

function l1Table(start: Buffer, virtualSize: number, bytesPerEntry: number, fileSizeBytes: number): Placed {
  const entries = start.readUInt32BE(36)
  refuseIf(entries * 8 > MAX_L1_BYTES, 'TABLE_TOO_LARGE', 'has too large a cluster table')
  const needed = Math.ceil(virtualSize / bytesPerEntry)
  refuseIf(entries < needed, 'VIRTUAL_SIZE_MISMATCH', 'has too small a cluster table for its virtual size')
  const offset = start.readBigUInt64BE(40)
  refuseIf(offset === 0n, 'TABLE_MISSING', 'has no cluster table')
  return placeInFile('cluster table', offset, entries * 8, fileSizeBytes)
}

function refcountTable(start: Buffer, clusterSize: number, fileSizeBytes: number): Placed {
  const clusters = start.readUInt32BE(56)
  const offset = start.readBigUInt64BE(48)
  refuseIf(clusters === 0 || offset === 0n, 'TABLE_MISSING', 'has no reference counts')
  const length = clusters * clusterSize
  refuseIf(length > MAX_REFCOUNT_TABLE_BYTES + clusterSize, 'TABLE_TOO_LARGE', 'has too large a reference count table')
  return placeInFile('reference count table', offset, length, fileSizeBytes)
}

function* snapshotTable(start: Buffer, clusterSize: number, fileSizeBytes: number): ParserSteps<Placed[]> {
  const count = start.readUInt32BE(60)
  refuseIf(count > MAX_SNAPSHOTS, 'TABLE_TOO_LARGE', 'claims an absurd number of snapshots')
  if (count === 0) return []
  const at = start.readBigUInt64BE(64)
  refuseIf(at === 0n, 'TABLE_MISSING', 'has no snapshot table')
  refuseIf(at % BigInt(clusterSize) !== 0n, 'TABLE_MISPLACED', 'has a misplaced snapshot table')
  const { offset } = placeInFile('snapshot table', at, count * SNAPSHOT_ENTRY_BYTES, fileSizeBytes)
  const places: Placed[] = []
  let [next, end] = [offset, offset]
  for (let index = 0; index < count; index++) {
    const entry = yield* snapshotBytes(next, SNAPSHOT_ENTRY_BYTES, fileSizeBytes)
    const [idBytes, nameBytes, extraBytes] = [entry.readUInt16BE(12), entry.readUInt16BE(14), entry.readUInt32BE(36)]
    refuseIf(extraBytes > 1024, 'EXTENSION_INVALID', 'has a snapshot with too much extra data')
    const l1Bytes = entry.readUInt32BE(8) * 8
    refuseIf(l1Bytes > MAX_L1_BYTES, 'TABLE_TOO_LARGE', 'has a snapshot with too large a cluster table')
    const l1At = entry.readBigUInt64BE(0)
    refuseIf(l1At % BigInt(clusterSize) !== 0n, 'TABLE_MISPLACED', 'has a misplaced cluster table of a snapshot')
    places.push(placeInFile('cluster table of a snapshot', l1At, l1Bytes, fileSizeBytes))
    end = next + SNAPSHOT_ENTRY_BYTES + extraBytes + idBytes + nameBytes
    next = Math.ceil(end / 8) * 8
  }
  refuseIf(end - offset > MAX_SNAPSHOTS * 1024, 'TABLE_TOO_LARGE', 'has too large a snapshot table')
  return [placeInFile('snapshot table', at, end - offset, fileSizeBytes), ...places]
}

function* snapshotBytes(offset: number, length: number, fileSizeBytes: number): ParserSteps<Buffer> {
  refuseIf(offset + length > fileSizeBytes, 'TABLE_OUTSIDE_FILE', 'ends in its snapshot table')
  return yield { offset, length }
}

function* checkL1Entries(l1: Placed, clusterSize: number, fileSizeBytes: number): ParserSteps<void> {
  const end = BigInt(fileSizeBytes)
  yield* eachChunk(l1.offset, l1.length, (chunk) => {
    for (let at = 0; at < chunk.length; at += 8) {
      const entry = chunk.readBigUInt64BE(at)
      if (entry === 0n) continue
      const offset = entry & L1_OFFSET
      if ((entry & L1_RESERVED) !== 0n || offset % BigInt(clusterSize) !== 0n) {
        throw new ImageRefusal('TABLE_MISPLACED', 'has a misplaced table behind its cluster table')
      }
      refuseIf(
        offset !== 0n && offset + BigInt(clusterSize) > end,
        'DATA_OUTSIDE_FILE',
        'ends before a table that its cluster table speaks of',
      )
    }
  })
}
