import { crc32c } from './crc32c.ts'
import { type ImageFormat, type ParsedImage } from './format.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import { bytesAt, eachChunk, placeInFile, refuseOverlaps, type ParserSteps, type Placed } from './steps.ts'
import { readDisk, type VhdxDisk } from './vhdx-metadata.ts'
import { readRegions } from './vhdx-regions.ts'

const KIB = 1024
const MIB = 1024 * KIB
const HEADERS = [64 * KIB, 128 * KIB] as const
const HEADER_BYTES = 4 * KIB
const MAX_LOG_BYTES = 16 * MIB
const MAX_BAT_BYTES = 32 * MIB
const BLOCK_STATE = { mask: 7n, undefinedFrom: 4n, present: 6n, partial: 7n } as const

/** Hyper-V's VHDX, dynamic and fixed ([MS-VHDX]). */
export const vhdx: ImageFormat = {
  name: 'vhdx',
  title: 'a VHDX image',
  driver: 'vhdx',
  marks: [{ offset: 0, bytes: 'vhdxfile' }],
  tailMarks: [],
  carries: [],
  weak: false,
  checkable: true,
  parse,
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  const log = yield* readHeader(fileSizeBytes)
  const { metadata, bat } = yield* readRegions(fileSizeBytes)
  refuseOverlaps([{ name: 'header', offset: 0, length: MIB }, log, metadata, bat])
  const disk = yield* readDisk(metadata)
  yield* checkBlocks(bat, disk, fileSizeBytes)
  return { virtualSizeBytes: disk.virtualSizeBytes, variant: disk.fixed ? 'fixed' : 'dynamic' }
}

// Of the two headers the valid one with the higher sequence number counts.
function* readHeader(fileSizeBytes: number): ParserSteps<Placed> {
  const valid: Buffer[] = []
  for (const offset of HEADERS) {
    const header = yield* bytesAt(offset, HEADER_BYTES, 'headers', fileSizeBytes)
    const right = header.toString('latin1', 0, 4) === 'head' && crc32c(header, 4) === header.readUInt32LE(4)
    if (right) valid.push(header)
  }
  const [current] = valid.toSorted((a, b) => Number(b.readBigUInt64LE(8) - a.readBigUInt64LE(8)))
  if (current === undefined) throw new ImageRefusal('CHECKSUM_WRONG', 'has no undamaged header')
  const version = current.readUInt16LE(66)
  refuseIf(version !== 1, 'UNSUPPORTED_VERSION', `has the unsupported VHDX version ${version}`)
  const [length, offset] = [current.readUInt32LE(68), current.readBigUInt64LE(72)]
  refuseIf(length > 1024 * MIB || length % MIB !== 0, 'TABLE_TOO_LARGE', 'has a log of impossible length')
  refuseIf(offset % BigInt(MIB) !== 0n, 'TABLE_MISPLACED', 'has a misplaced log')
  const log = placeInFile('log', offset, length, fileSizeBytes)
  yield* checkLog(log, current.subarray(48, 64))
  return log
}

// The id in the header is that of entries that still have to be replayed; no id, or no entry with it, and there are none.
function* checkLog(log: Placed, id: Buffer): ParserSteps<void> {
  if (id.every((byte) => byte === 0)) return
  refuseIf(log.length > MAX_LOG_BYTES, 'TABLE_TOO_LARGE', 'has a log larger than any program makes')
  yield* eachChunk(log.offset, log.length, (chunk) => {
    for (let at = 0; at < chunk.length; at += 4 * KIB) {
      const pending = chunk.toString('latin1', at, at + 4) === 'loge' && chunk.subarray(at + 32, at + 48).equals(id)
      refuseIf(pending, 'UNCLEAN', 'has a log to replay: it was not closed cleanly')
    }
  })
}

function* checkBlocks(bat: Placed, disk: VhdxDisk, fileSizeBytes: number): ParserSteps<void> {
  const { virtualSizeBytes, blockBytes, sectorBytes } = disk
  const blocks = Math.ceil(virtualSizeBytes / blockBytes)
  const chunkRatio = (2 ** 23 * sectorBytes) / blockBytes
  const entries = blocks + Math.floor((blocks - 1) / chunkRatio)
  refuseIf(entries * 8 > MAX_BAT_BYTES, 'TABLE_TOO_LARGE', 'has too large a block table')
  refuseIf(entries * 8 > bat.length, 'VIRTUAL_SIZE_MISMATCH', 'has too small a block table for its virtual size')
  yield* eachChunk(bat.offset, entries * 8, (chunk, chunkOffset) => {
    for (let at = 0; at < chunk.length; at += 8) {
      const index = (chunkOffset + at) / 8
      // After every chunk there is an entry for a bitmap, which only differencing disks have.
      const isBitmap = index % (chunkRatio + 1) === chunkRatio
      checkBlock(chunk.readBigUInt64LE(at), isBitmap, blockBytes, fileSizeBytes)
    }
  })
}

function checkBlock(entry: bigint, isBitmap: boolean, blockBytes: number, fileSizeBytes: number): void {
  const state = entry & BLOCK_STATE.mask
  if (state === 0n && isBitmap) return
  refuseIf(isBitmap || state === BLOCK_STATE.partial, 'BACKING_FILE', 'has blocks that are partly in a parent disk')
  refuseIf(
    state >= BLOCK_STATE.undefinedFrom && state !== BLOCK_STATE.present,
    'HEADER_INVALID',
    'has a block in a state that is not defined',
  )
  if (state !== BLOCK_STATE.present) return
  const offset = (entry >> 20n) * BigInt(MIB)
  refuseIf(
    offset < BigInt(MIB) || offset + BigInt(blockBytes) > BigInt(fileSizeBytes),
    'DATA_OUTSIDE_FILE',
    'ends before a block that its block table speaks of',
  )
}
