/**
 * The qcow2 header, read without trust (QEMU docs/interop/qcow2.rst). Only what decides whether an image may be used is kept.
 */
export interface Qcow2Header {
  readonly version: 2 | 3
  readonly virtualSizeBytes: number
  readonly clusterSizeBytes: number
  readonly compression: 'zlib' | 'zstd'
}

/** Why an image is refused; the text completes "image X …". */
export class Qcow2Refusal extends Error {}

/** How many bytes of a file `parseQcow2Header` needs at most: the largest cluster, which holds header and extensions. */
export const QCOW2_HEADER_BYTES = 64 * 1024

/** The largest virtual size that is taken for a real disk: 64 TiB. */
export const MAX_VIRTUAL_SIZE_BYTES = 64 * 2 ** 40

const FEATURE = { dirty: 1n, corrupt: 2n, dataFile: 4n, compressionType: 8n, extendedL2: 16n } as const
const KNOWN_FEATURES = Object.values(FEATURE).reduce((all, bit) => all | bit, 0n)
const EXTENSION = { end: 0, dataFile: 0x44415441, crypto: 0x0537be77 } as const

/** Parses the header of a qcow2 file of `fileSizeBytes` from its first bytes; throws Qcow2Refusal for anything but a plain, self-contained, sane image. */
export function parseQcow2Header(head: Buffer, fileSizeBytes: number): Qcow2Header {
  refuseIf(head.length < 72, 'is shorter than a qcow2 header')
  const version = head.readUInt32BE(4)
  refuseIf(version !== 2 && version !== 3, `has the unsupported qcow2 version ${version}`)
  const backingOffset = head.readBigUInt64BE(8)
  const backingLength = head.readUInt32BE(16)
  refuseIf(backingOffset !== 0n || backingLength !== 0, 'refers to a backing file')
  const clusterBits = head.readUInt32BE(20)
  refuseIf(clusterBits < 9 || clusterBits > 21, `has the impossible cluster size 2^${clusterBits}`)
  refuseIf(head.readUInt32BE(32) !== 0, 'is encrypted')

  const v3 = version === 3 ? parseVersion3(head) : { headerLength: 72, features: 0n, compression: 'zlib' as const }
  refuseIf((v3.features & FEATURE.dataFile) !== 0n, 'keeps its data in another file')
  refuseIf((v3.features & FEATURE.corrupt) !== 0n, 'is marked as corrupt')
  refuseIf((v3.features & FEATURE.dirty) !== 0n, 'was not closed cleanly')
  const unknown = v3.features & ~KNOWN_FEATURES
  refuseIf(unknown !== 0n, `needs unknown features (0x${unknown.toString(16)})`)
  checkExtensions(head, v3.headerLength, 2 ** clusterBits)
  checkTables(head, fileSizeBytes, clusterBits, (v3.features & FEATURE.extendedL2) !== 0n)
  return {
    version: version as 2 | 3,
    virtualSizeBytes: Number(head.readBigUInt64BE(24)),
    clusterSizeBytes: 2 ** clusterBits,
    compression: v3.compression,
  }
}

function parseVersion3(head: Buffer): { headerLength: number; features: bigint; compression: 'zlib' | 'zstd' } {
  refuseIf(head.length < 104, 'is shorter than a qcow2 header')
  const headerLength = head.readUInt32BE(100)
  refuseIf(headerLength < 104 || headerLength % 8 !== 0 || headerLength > 4096, 'has a header of impossible length')
  const refcountOrder = head.readUInt32BE(96)
  refuseIf(refcountOrder > 6, `has the impossible reference count width 2^${refcountOrder}`)
  const features = head.readBigUInt64BE(72)
  const type = headerLength > 104 && head.length > 104 ? head.readUInt8(104) : 0
  refuseIf(type > 1, `uses the unknown compression type ${type}`)
  refuseIf((type !== 0) !== ((features & FEATURE.compressionType) !== 0n), 'contradicts itself about its compression')
  return { headerLength, features, compression: type === 1 ? 'zstd' : 'zlib' }
}

function checkExtensions(head: Buffer, headerLength: number, clusterSize: number): void {
  const limit = Math.min(head.length, clusterSize)
  for (let offset = headerLength; offset + 8 <= limit;) {
    const type = head.readUInt32BE(offset)
    const length = head.readUInt32BE(offset + 4)
    if (type === EXTENSION.end) return
    refuseIf(type === EXTENSION.dataFile, 'keeps its data in another file')
    refuseIf(type === EXTENSION.crypto, 'is encrypted')
    const next = offset + 8 + Math.ceil(length / 8) * 8
    refuseIf(next > clusterSize, 'has a header extension that leaves the first cluster')
    offset = next
  }
}

// Bounds that keep every table inside the file and every size believable; the content of the tables is for `qemu-img check`.
function checkTables(head: Buffer, fileSizeBytes: number, clusterBits: number, extendedL2: boolean): void {
  const clusterSize = 2 ** clusterBits
  const virtualSize = head.readBigUInt64BE(24)
  refuseIf(virtualSize === 0n, 'has a virtual size of 0')
  refuseIf(virtualSize > BigInt(MAX_VIRTUAL_SIZE_BYTES), `claims an absurd virtual size of ${virtualSize} bytes`)
  const l1Entries = head.readUInt32BE(36)
  const perL1 = clusterSize * (clusterSize / (extendedL2 ? 16 : 8))
  refuseIf(l1Entries < Math.ceil(Number(virtualSize) / perL1), 'has too small a cluster table for its virtual size')
  refuseIf(l1Entries > (32 * 2 ** 20) / 8, 'has too large a cluster table')
  checkTable('cluster table', head.readBigUInt64BE(40), l1Entries * 8, clusterSize, fileSizeBytes)
  const refcountClusters = head.readUInt32BE(56)
  refuseIf(refcountClusters === 0, 'has no reference counts')
  refuseIf(refcountClusters * clusterSize > 8 * 2 ** 20 + clusterSize, 'has too large a reference count table')
  checkTable(
    'reference count table',
    head.readBigUInt64BE(48),
    refcountClusters * clusterSize,
    clusterSize,
    fileSizeBytes,
  )
  const snapshots = head.readUInt32BE(60)
  refuseIf(snapshots > 65_536, 'claims an absurd number of snapshots')
  if (snapshots > 0) checkTable('snapshot table', head.readBigUInt64BE(64), snapshots * 40, clusterSize, fileSizeBytes)
}

function checkTable(name: string, offset: bigint, length: number, clusterSize: number, fileSizeBytes: number): void {
  refuseIf(offset === 0n && length > 0, `has no ${name}`)
  refuseIf(offset % BigInt(clusterSize) !== 0n, `has a misplaced ${name}`)
  refuseIf(
    offset + BigInt(length) > BigInt(fileSizeBytes),
    `ends before its ${name}: it is incomplete or was tampered with`,
  )
}

function refuseIf(bad: boolean, text: string): void {
  if (bad) throw new Qcow2Refusal(text)
}
