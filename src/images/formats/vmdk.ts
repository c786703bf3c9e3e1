import { MAX_VIRTUAL_SIZE_BYTES, type ImageFormat, type ParsedImage } from './format.ts'
import { refuseIf } from './refusal.ts'
import { bytesAt, eachChunk, placeInFile, refuseOverlaps, type ParserSteps, type Placed } from './steps.ts'
import { checkDescriptor, MAX_DESCRIPTOR_BYTES } from './vmdk-descriptor.ts'

const SECTOR = 512
const MAGIC = 'KDMV'
const FLAG = { newlines: 1, redundantTable: 2, zeroedGrains: 4, compressed: 0x1_0000, markers: 0x2_0000 } as const
const KNOWN_FLAGS = Object.values(FLAG).reduce((all, bit) => all | bit, 0)
/** The grain directory is told by a second header at the end of the file. */
const DIRECTORY_AT_END = 0xffff_ffff_ffff_ffffn
const FOOTER_BYTES = 3 * SECTOR
const MARKER = { endOfStream: 0, footer: 3 } as const
const ENTRIES_PER_TABLE = 512
const TABLE_BYTES = ENTRIES_PER_TABLE * 4

interface SparseHeader {
  readonly flags: number
  readonly capacity: bigint
  readonly grainSectors: bigint
  readonly descriptorOffset: bigint
  readonly descriptorSectors: bigint
  readonly directoryOffset: bigint
  readonly compressed: boolean
}

/** VMware's sparse extents with the descriptor inside: monolithicSparse and streamOptimized ("Virtual Disk Format 5.0"). */
export const vmdk: ImageFormat = {
  name: 'vmdk',
  title: 'a VMDK image',
  driver: 'vmdk',
  // The other kinds are known, to be refused by name: ESX's copy-on-write extents, and descriptors, which lead to other files.
  marks: [
    { offset: 0, bytes: MAGIC },
    { offset: 0, bytes: 'COWD' },
    { offset: 0, bytes: '# Disk DescriptorFile' },
  ],
  tailMarks: [],
  carries: [],
  weak: false,
  checkable: true,
  parse,
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  const magic = (yield* bytesAt(0, 4, 'header', fileSizeBytes)).toString('latin1')
  refuseIf(magic.startsWith('# '), 'EXTERNAL_EXTENT', 'is only a VMDK descriptor; its data is in other files')
  refuseIf(magic !== MAGIC, 'UNSUPPORTED_VARIANT', 'is a VMDK extent of the ESX kind')
  const first = parseHeader(yield* bytesAt(0, SECTOR, 'header', fileSizeBytes))
  const descriptor = yield* readDescriptor(first, fileSizeBytes)
  const createType = checkDescriptor(descriptor.text, first.capacity)
  refuseIf(
    (createType === 'streamOptimized') !== first.compressed,
    'HEADER_INVALID',
    `calls itself ${createType}, but its header is of the other kind`,
  )
  const header = first.directoryOffset === DIRECTORY_AT_END ? yield* readFooter(first, fileSizeBytes) : first
  const directory = grainDirectory(header, fileSizeBytes)
  refuseOverlaps([{ name: 'header', offset: 0, length: SECTOR }, descriptor.place, directory])
  yield* checkDirectory(directory, fileSizeBytes)
  return { virtualSizeBytes: Number(header.capacity) * SECTOR, variant: createType }
}

function parseHeader(bytes: Buffer): SparseHeader {
  const version = bytes.readUInt32LE(4)
  refuseIf(version < 1 || version > 3, 'UNSUPPORTED_VERSION', `has the unsupported VMDK version ${version}`)
  const flags = bytes.readUInt32LE(8)
  refuseIf((flags & ~KNOWN_FLAGS) !== 0, 'UNKNOWN_FEATURE', `needs unknown features (0x${flags.toString(16)})`)
  const damaged = (flags & FLAG.newlines) !== 0 && bytes.toString('latin1', 73, 77) !== '\n \r\n'
  refuseIf(damaged, 'HEADER_INVALID', 'was changed by a transfer in text mode')
  refuseIf(bytes.readUInt8(72) !== 0, 'UNCLEAN', 'was not closed cleanly')
  const algorithm = bytes.readUInt16LE(77)
  refuseIf(algorithm > 1, 'UNKNOWN_FEATURE', `uses the unknown compression type ${algorithm}`)
  const compressed = (flags & FLAG.compressed) !== 0
  refuseIf(compressed !== (algorithm === 1), 'HEADER_INVALID', 'contradicts itself about its compression')
  const capacity = bytes.readBigUInt64LE(12)
  refuseIf(
    capacity === 0n || capacity > BigInt(MAX_VIRTUAL_SIZE_BYTES / SECTOR),
    'VIRTUAL_SIZE_ABSURD',
    `claims an absurd virtual size of ${capacity} sectors`,
  )
  const grainSectors = bytes.readBigUInt64LE(20)
  const powerOfTwo = (grainSectors & (grainSectors - 1n)) === 0n
  refuseIf(
    grainSectors < 8n || grainSectors > 16_384n || !powerOfTwo,
    'CLUSTER_SIZE',
    `has the impossible grain size of ${grainSectors} sectors`,
  )
  refuseIf(
    bytes.readUInt32LE(44) !== ENTRIES_PER_TABLE,
    'HEADER_INVALID',
    `has grain tables that have not ${ENTRIES_PER_TABLE} entries`,
  )
  return {
    flags,
    capacity,
    grainSectors,
    descriptorOffset: bytes.readBigUInt64LE(28),
    descriptorSectors: bytes.readBigUInt64LE(36),
    directoryOffset: bytes.readBigUInt64LE(56),
    compressed,
  }
}

function* readDescriptor(header: SparseHeader, fileSizeBytes: number): ParserSteps<{ text: string; place: Placed }> {
  const { descriptorOffset, descriptorSectors } = header
  refuseIf(
    descriptorOffset === 0n || descriptorSectors === 0n,
    'UNSUPPORTED_VARIANT',
    'has no descriptor: it is one of several files of a disk',
  )
  refuseIf(descriptorSectors > BigInt(MAX_DESCRIPTOR_BYTES / SECTOR), 'TABLE_TOO_LARGE', 'has too large a descriptor')
  const length = Number(descriptorSectors) * SECTOR
  const place = placeInFile('descriptor', descriptorOffset * BigInt(SECTOR), length, fileSizeBytes)
  const bytes = yield place
  const end = bytes.indexOf(0)
  return { text: bytes.toString('latin1', 0, end < 0 ? length : end), place }
}

function* readFooter(first: SparseHeader, fileSizeBytes: number): ParserSteps<SparseHeader> {
  refuseIf(fileSizeBytes % SECTOR !== 0, 'TRUNCATED', 'ends in the middle of a sector')
  refuseIf(fileSizeBytes < SECTOR + FOOTER_BYTES, 'TRUNCATED', 'ends before its footer')
  const bytes = yield { offset: fileSizeBytes - FOOTER_BYTES, length: FOOTER_BYTES }
  const isMarker = (at: number, type: number) =>
    bytes.readUInt32LE(at + 8) === 0 && bytes.readUInt32LE(at + 12) === type
  const whole = isMarker(0, MARKER.footer) && isMarker(2 * SECTOR, MARKER.endOfStream)
  const named = bytes.toString('latin1', SECTOR, SECTOR + 4) === MAGIC
  refuseIf(!whole || !named, 'TRUNCATED', 'does not end with a footer: it is incomplete')
  const footer = parseHeader(bytes.subarray(SECTOR, 2 * SECTOR))
  const same =
    footer.capacity === first.capacity &&
    footer.grainSectors === first.grainSectors &&
    footer.compressed === first.compressed
  refuseIf(!same, 'COPIES_DISAGREE', 'has a header and a footer that contradict each other')
  refuseIf(footer.directoryOffset === DIRECTORY_AT_END, 'TABLE_MISSING', 'has no grain directory')
  return footer
}

function grainDirectory(header: SparseHeader, fileSizeBytes: number): Placed {
  const { capacity, grainSectors, directoryOffset } = header
  const perTable = grainSectors * BigInt(ENTRIES_PER_TABLE)
  const entries = Number((capacity + perTable - 1n) / perTable)
  refuseIf(entries * 4 > 32 * 2 ** 20, 'TABLE_TOO_LARGE', 'has too large a grain directory')
  refuseIf(directoryOffset === 0n, 'TABLE_MISSING', 'has no grain directory')
  return placeInFile('grain directory', directoryOffset * BigInt(SECTOR), entries * 4, fileSizeBytes)
}

// What the grain tables say is for `qemu-img check`.
function* checkDirectory(directory: Placed, fileSizeBytes: number): ParserSteps<void> {
  yield* eachChunk(directory.offset, directory.length, (chunk) => {
    for (let at = 0; at < chunk.length; at += 4) {
      const table = chunk.readUInt32LE(at)
      // 1 stands for a table of zeros.
      if (table <= 1) continue
      const outside = table * SECTOR + TABLE_BYTES > fileSizeBytes
      refuseIf(outside, 'DATA_OUTSIDE_FILE', 'ends before a grain table that its directory speaks of')
    }
  })
}
