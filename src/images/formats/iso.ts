import type { ImageFormat, ParsedImage } from './format.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import { gptDiskBytes } from './raw.ts'
import { bytesAt, type ParserSteps } from './steps.ts'

const SECTOR = 2048
const FIRST_DESCRIPTOR = 16 * SECTOR
/** Real ones have up to six, UDF's among them. */
const MAX_DESCRIPTORS = 32
const DESCRIPTOR = { boot: 0, primary: 1, terminator: 255 } as const
const EL_TORITO = 'EL TORITO SPECIFICATION'
const UDF_MARKS = ['BEA01', 'NSR02', 'NSR03', 'TEA01', 'BOOT2']
/** What mastering programs append, and isohybrid rounds up to. */
const MAX_PADDING_BYTES = 4 * 2 ** 20
const MAX_ISO_BYTES = 2 ** 40

/** CD and DVD images: ECMA-119 (ISO 9660) with or without Joliet, Rock Ridge, UDF, El Torito; hybrid ones have a partition table as well. Not a disk: it is put in a drive as it is. */
export const iso: ImageFormat = {
  name: 'iso',
  title: 'an ISO image (a CD-ROM, not a disk)',
  driver: 'raw',
  marks: [{ offset: FIRST_DESCRIPTOR + 1, bytes: 'CD001' }],
  tailMarks: [],
  carries: ['raw'],
  weak: false,
  checkable: false,
  parse,
}

interface Volume {
  readonly bytes: number
  readonly bootCatalog: number | undefined
  readonly udf: boolean
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  refuseIf(fileSizeBytes > MAX_ISO_BYTES, 'VIRTUAL_SIZE_ABSURD', `has an absurd size of ${fileSizeBytes} bytes`)
  refuseIf(fileSizeBytes % 512 !== 0, 'TRUNCATED', 'ends in the middle of a sector: it is incomplete')
  const volume = yield* readDescriptors(fileSizeBytes)
  refuseIf(
    volume.bytes > fileSizeBytes,
    'TRUNCATED',
    `is incomplete: its volume has ${volume.bytes} bytes, the file only ${fileSizeBytes}`,
  )
  if (volume.bootCatalog !== undefined) yield* checkBootCatalog(volume.bootCatalog, fileSizeBytes)
  // The ISO part of a UDF disc may be much smaller than the disc.
  const end = Math.max(volume.bytes, yield* partitionsEnd(fileSizeBytes))
  refuseIf(
    !volume.udf && fileSizeBytes - end > MAX_PADDING_BYTES,
    'VIRTUAL_SIZE_MISMATCH',
    `has ${fileSizeBytes - end} bytes that do not belong to its volume`,
  )
  return { virtualSizeBytes: fileSizeBytes, variant: volume.bootCatalog === undefined ? '' : 'bootable' }
}

function* readDescriptors(fileSizeBytes: number): ParserSteps<Volume> {
  let bytes: number | undefined
  let bootCatalog: number | undefined
  let udf = false
  let ended = false
  for (let index = 0; index < MAX_DESCRIPTORS; index++) {
    const at = FIRST_DESCRIPTOR + index * SECTOR
    if (ended && at + SECTOR > fileSizeBytes) break
    const sector = yield* bytesAt(at, SECTOR, 'volume descriptors', fileSizeBytes)
    const mark = sector.toString('latin1', 1, 6)
    udf ||= mark === 'NSR02' || mark === 'NSR03'
    // Behind the last descriptor there are those of UDF, if any.
    if (ended && !UDF_MARKS.includes(mark)) break
    if (ended || UDF_MARKS.includes(mark)) continue
    refuseIf(mark !== 'CD001', 'HEADER_INVALID', 'has a volume descriptor without its mark')
    const type = sector.readUInt8(0)
    ended = type === DESCRIPTOR.terminator
    if (type === DESCRIPTOR.primary) bytes ??= primaryBytes(sector)
    const bootable = type === DESCRIPTOR.boot && sector.toString('latin1', 7, 7 + EL_TORITO.length) === EL_TORITO
    if (bootable) bootCatalog ??= sector.readUInt32LE(71)
  }
  refuseIf(!ended, 'TABLE_MISSING', 'has volume descriptors without an end')
  if (bytes === undefined) throw new ImageRefusal('TABLE_MISSING', 'has no primary volume descriptor')
  return { bytes, bootCatalog, udf }
}

function primaryBytes(sector: Buffer): number {
  refuseIf(sector.readUInt8(6) !== 1, 'UNSUPPORTED_VERSION', 'has a volume descriptor of an unknown version')
  const [little, big] = [sector.readUInt32LE(80), sector.readUInt32BE(84)]
  refuseIf(little !== big, 'COPIES_DISAGREE', 'contradicts itself about its size')
  const blockBytes = sector.readUInt16LE(128)
  refuseIf(blockBytes !== sector.readUInt16BE(130), 'COPIES_DISAGREE', 'contradicts itself about its block size')
  refuseIf(blockBytes !== SECTOR, 'CLUSTER_SIZE', `has blocks of ${blockBytes} bytes`)
  refuseIf(little < 18, 'VIRTUAL_SIZE_ABSURD', `claims an absurd volume size of ${little} blocks`)
  const root = sector.subarray(156, 190)
  refuseIf(root.readUInt8(0) < 34, 'HEADER_INVALID', 'has no root directory')
  const [block, length] = [root.readUInt32LE(2), root.readUInt32LE(10)]
  refuseIf(block < 16 || length === 0, 'HEADER_INVALID', 'has no root directory')
  refuseIf(block * SECTOR + length > little * SECTOR, 'TABLE_OUTSIDE_FILE', 'ends before its root directory')
  return little * SECTOR
}

function* checkBootCatalog(block: number, fileSizeBytes: number): ParserSteps<void> {
  const outside = block < 17 || (block + 1) * SECTOR > fileSizeBytes
  refuseIf(outside, 'TABLE_OUTSIDE_FILE', 'ends before its boot catalog: it is incomplete or was tampered with')
  const entry = yield { offset: block * SECTOR, length: 32 }
  const valid = entry.readUInt8(0) === 1 && entry.readUInt16LE(30) === 0xaa55
  refuseIf(!valid, 'HEADER_INVALID', 'has no valid boot catalog')
}

// A hybrid image may have partitions behind the volume, such as the one that UEFI boots from.
function* partitionsEnd(fileSizeBytes: number): ParserSteps<number> {
  const mbr = yield { offset: 0, length: 512 }
  if (mbr.readUInt16LE(510) !== 0xaa55) return 0
  const ends = [446, 462, 478, 494].map((at) => {
    const sectors = mbr.readUInt32LE(at + 12)
    return sectors === 0 ? 0 : (mbr.readUInt32LE(at + 8) + sectors) * 512
  })
  return Math.min(fileSizeBytes, Math.max(...ends, yield* gptDiskBytes(fileSizeBytes)))
}
