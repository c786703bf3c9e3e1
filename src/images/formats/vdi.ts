import { MAX_VIRTUAL_SIZE_BYTES, type ImageFormat, type ParsedImage } from './format.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import { bytesAt, eachChunk, placeInFile, refuseOverlaps, type ParserSteps, type Placed } from './steps.ts'

const HEADER_BYTES = 512
const VERSION_1_1 = 0x0001_0001
const TYPE = { dynamic: 1, static: 2, undo: 3, differencing: 4 } as const
/** The only one that VirtualBox makes and QEMU reads. */
const BLOCK_BYTES = 1024 * 1024
const MAX_MAP_BYTES = 48 * 2 ** 20
/** Map entries from here on stand for no block and for a block of zeros. */
const FIRST_SPECIAL = 0xffff_fffe

/** VirtualBox disks, version 1.1, dynamic and static (VirtualBox VDICore.h). */
export const vdi: ImageFormat = {
  name: 'vdi',
  title: 'a VDI image',
  driver: 'vdi',
  marks: [{ offset: 64, bytes: '\x7f\x10\xda\xbe' }],
  tailMarks: [],
  carries: [],
  weak: false,
  checkable: true,
  parse,
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  const header = yield* bytesAt(0, HEADER_BYTES, 'header', fileSizeBytes)
  const version = header.readUInt32LE(68)
  refuseIf(version !== VERSION_1_1, 'UNSUPPORTED_VERSION', `has the unsupported VDI version 0x${version.toString(16)}`)
  const headerSize = header.readUInt32LE(72)
  refuseIf(headerSize < 0x180 || headerSize > 0x1b8, 'HEADER_INVALID', 'has a header of impossible length')
  const type = header.readUInt32LE(76)
  refuseIf(type === TYPE.undo || type === TYPE.differencing, 'BACKING_FILE', 'needs a parent disk')
  refuseIf(type !== TYPE.dynamic && type !== TYPE.static, 'UNSUPPORTED_VARIANT', `is of the unknown VDI type ${type}`)
  const linked = !isZero(header.subarray(424, 440)) || !isZero(header.subarray(440, 456))
  refuseIf(linked, 'BACKING_FILE', 'names a parent disk')
  refuseIf(header.readUInt32LE(360) !== 512, 'HEADER_INVALID', 'has sectors of another size than 512')
  const blockBytes = header.readUInt32LE(376)
  refuseIf(blockBytes !== BLOCK_BYTES, 'CLUSTER_SIZE', `has blocks of ${blockBytes} bytes`)
  refuseIf(header.readUInt32LE(380) !== 0, 'UNSUPPORTED_VARIANT', 'has extra bytes before each block')
  const virtualSize = header.readBigUInt64LE(368)
  refuseIf(
    virtualSize === 0n || virtualSize > BigInt(MAX_VIRTUAL_SIZE_BYTES),
    'VIRTUAL_SIZE_ABSURD',
    `claims an absurd virtual size of ${virtualSize} bytes`,
  )
  refuseIf(virtualSize % 512n !== 0n, 'ODD_SIZE', 'has a virtual size in the middle of a sector')
  yield* checkMap(header, Number(virtualSize), fileSizeBytes)
  return { virtualSizeBytes: Number(virtualSize), variant: type === TYPE.static ? 'static' : 'dynamic' }
}

function* checkMap(header: Buffer, virtualSize: number, fileSizeBytes: number): ParserSteps<void> {
  const [mapOffset, dataOffset] = [header.readUInt32LE(340), header.readUInt32LE(344)]
  const [blocks, allocated] = [header.readUInt32LE(384), header.readUInt32LE(388)]
  refuseIf(
    blocks !== Math.ceil(virtualSize / BLOCK_BYTES),
    'VIRTUAL_SIZE_MISMATCH',
    'has a block map that does not fit its virtual size',
  )
  refuseIf(allocated > blocks, 'VIRTUAL_SIZE_MISMATCH', 'has more blocks than its virtual size takes')
  refuseIf(blocks * 4 > MAX_MAP_BYTES, 'TABLE_TOO_LARGE', 'has too large a block map')
  const misplaced = mapOffset % 512 !== 0 || dataOffset % 512 !== 0 || mapOffset === 0 || dataOffset === 0
  refuseIf(misplaced, 'TABLE_MISPLACED', 'has a misplaced block map')
  const map = placeInFile('block map', BigInt(mapOffset), blocks * 4, fileSizeBytes)
  const data: Placed = { name: 'data', offset: dataOffset, length: Number.MAX_SAFE_INTEGER - dataOffset }
  refuseOverlaps([{ name: 'header', offset: 0, length: HEADER_BYTES }, map, data])
  refuseIf(
    allocated > 0 && dataOffset + allocated * BLOCK_BYTES > fileSizeBytes,
    'DATA_OUTSIDE_FILE',
    'ends before its last block: it is incomplete',
  )
  const seen = new Uint8Array(Math.ceil(allocated / 8))
  yield* eachChunk(map.offset, map.length, (chunk) => {
    for (let at = 0; at < chunk.length; at += 4) {
      const block = chunk.readUInt32LE(at)
      if (block >= FIRST_SPECIAL) continue
      refuseIf(block >= allocated, 'DATA_OUTSIDE_FILE', 'has a block map that leads outside its data')
      const [byte, bit] = [block >> 3, 1 << (block & 7)]
      if (((seen[byte] ?? 0) & bit) !== 0) throw new ImageRefusal('TABLE_OVERLAP', 'uses one block twice')
      seen[byte] = (seen[byte] ?? 0) | bit
    }
  })
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}
