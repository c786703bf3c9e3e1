import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { cut, spoilt, type HostileImage } from './hostile-image.ts'

const CLUSTER = 65_536
/** End of the header as qemu-img writes it: here the extensions begin. */
const EXTENSIONS = 112
const EOF = 2n ** 62n - BigInt(CLUSTER)

const u32 = (refusal: RefusalCode, name: string, offset: number, ...values: number[]): HostileImage[] =>
  values.map((value) =>
    spoilt('qcow2', refusal, `${name} ${value}`, (image) => void image.writeUInt32BE(value, offset)),
  )
const u64 = (refusal: RefusalCode, name: string, offset: number, ...values: bigint[]): HostileImage[] =>
  values.map((value) =>
    spoilt('qcow2', refusal, `${name} 0x${value.toString(16)}`, (image) => void image.writeBigUInt64BE(value, offset)),
  )
const extension = (refusal: RefusalCode, name: string, type: number, length: number, data = ''): HostileImage =>
  spoilt('qcow2', refusal, `an extension ${name}`, (image) => {
    image.fill(0, EXTENSIONS, EXTENSIONS + 512)
    image.writeUInt32BE(type, EXTENSIONS)
    image.writeUInt32BE(length, EXTENSIONS + 4)
    image.write(data, EXTENSIONS + 8, 'hex')
  })
const bitmaps = (refusal: RefusalCode, name: string, count: number, size: bigint, offset: bigint): HostileImage =>
  extension(
    refusal,
    `of bitmaps ${name}`,
    0x23852875,
    24,
    count
      .toString(16)
      .padStart(16, '0')
      .replace(/^(.{8})(.{8})$/, '$2$1') +
      size.toString(16).padStart(16, '0') +
      offset.toString(16).padStart(16, '0'),
  )
const backing = (name: string): HostileImage =>
  spoilt('qcow2', 'BACKING_FILE', `backing file ${name}`, (image) => {
    image.write(name, 512, 'latin1')
    image.writeBigUInt64BE(512n, 8)
    image.writeUInt32BE(name.length, 16)
  })
const l1 = (image: Buffer) => Number(image.readBigUInt64BE(40))
const l2 = (image: Buffer) => Number(image.readBigUInt64BE(l1(image)) & 0x00ff_ffff_ffff_fe00n)
const snapshotTable = (image: Buffer) => Number(image.readBigUInt64BE(64))
const snapshot = (refusal: RefusalCode, name: string, change: (entry: Buffer) => void): HostileImage =>
  spoilt('snapshots', refusal, name, (image) => change(image.subarray(snapshotTable(image))))

/** qcow2 images that lead elsewhere, lie about their tables or exhaust whoever reads them. */
export const hostileQcow2: readonly HostileImage[] = [
  ...u32('UNSUPPORTED_VERSION', 'version', 4, 0, 1, 4, 0xffffffff),
  ...u64('BACKING_FILE', 'backing file offset', 8, 1n, 512n, 2n ** 63n),
  ...u32('BACKING_FILE', 'backing file length', 16, 1, 1023, 0xffffffff),
  ...['/etc/shadow', 'json:{"driver":"nbd","host":"127.0.0.1"}', 'nbd://127.0.0.1', '../../../vm/disk.raw'].map(
    backing,
  ),
  ...u32('CLUSTER_SIZE', 'cluster bits', 20, 0, 8, 22, 63, 0xffffffff),
  ...u32('ENCRYPTED', 'encryption method', 32, 1, 2, 3),
  ...u64('VIRTUAL_SIZE_ABSURD', 'size', 24, 0n, 2n ** 46n + 512n, 2n ** 63n, 2n ** 64n - 512n),
  ...u64('ODD_SIZE', 'size', 24, 1000n, 2n ** 20n - 1n),
  ...u64('VIRTUAL_SIZE_MISMATCH', 'size', 24, 2n ** 40n, 2n ** 46n),

  ...u32('VIRTUAL_SIZE_MISMATCH', 'L1 entries', 36, 0),
  ...u32('TABLE_TOO_LARGE', 'L1 entries', 36, 0x400001, 0xffffffff),
  ...u32('TABLE_OUTSIDE_FILE', 'L1 entries', 36, 0x400000),
  ...u64('TABLE_MISSING', 'L1 offset', 40, 0n),
  ...u64('TABLE_MISPLACED', 'L1 offset', 40, 3n, BigInt(3 * CLUSTER + 8), 512n),
  ...u64('TABLE_OUTSIDE_FILE', 'L1 offset', 40, EOF, 2n ** 64n - BigInt(CLUSTER)),
  ...u64('TABLE_OVERLAP', 'L1 offset', 40, BigInt(CLUSTER)),
  spoilt(
    'qcow2',
    'DATA_OUTSIDE_FILE',
    'L1 entry outside',
    (image) => void image.writeBigUInt64BE(2n ** 50n, l1(image)),
  ),
  spoilt('qcow2', 'DATA_OUTSIDE_FILE', 'L1 entry at the end', (image) => {
    image.writeBigUInt64BE(2n ** 63n + BigInt(image.length - (image.length % CLUSTER)), l1(image))
  }),
  spoilt(
    'qcow2',
    'TABLE_MISPLACED',
    'L1 entry with reserved low bits',
    (image) => void image.writeUInt8(1, l1(image) + 7),
  ),
  spoilt('qcow2', 'TABLE_MISPLACED', 'L1 entry with reserved high bits', (image) => {
    image.writeUInt8(0xc0, l1(image))
  }),
  spoilt('qcow2', 'TABLE_MISPLACED', 'L1 entry inside a cluster', (image) => {
    image.writeBigUInt64BE(image.readBigUInt64BE(l1(image)) + 512n, l1(image))
  }),
  spoilt('qcow2', 'QEMU_REFUSED', 'L2 entry outside', (image) => {
    image.writeBigUInt64BE(2n ** 63n + 2n ** 40n, l2(image))
  }),
  spoilt('qcow2', 'QEMU_REFUSED', 'L2 entry for the header', (image) => {
    image.writeBigUInt64BE(2n ** 63n, l2(image))
    image.writeBigUInt64BE(2n ** 63n + BigInt(CLUSTER), l2(image) + 8)
  }),
  spoilt('qcow2', 'QEMU_REFUSED', 'L2 entry inside a cluster', (image) => {
    image.writeBigUInt64BE(image.readBigUInt64BE(l2(image)) + 512n, l2(image))
  }),

  ...u64('TABLE_MISSING', 'refcount table offset', 48, 0n),
  ...u64('TABLE_MISPLACED', 'refcount table offset', 48, 1n, BigInt(CLUSTER + 512)),
  ...u64('TABLE_OUTSIDE_FILE', 'refcount table offset', 48, EOF),
  spoilt('qcow2', 'TABLE_OVERLAP', 'refcount table in the L1 table', (image) => {
    image.writeBigUInt64BE(BigInt(l1(image)), 48)
  }),
  ...u32('TABLE_MISSING', 'refcount table clusters', 56, 0),
  ...u32('TABLE_TOO_LARGE', 'refcount table clusters', 56, 200, 0x7fffffff, 0xffffffff),
  spoilt('qcow2', 'QEMU_REFUSED', 'refcount block outside', (image) => {
    image.writeBigUInt64BE(2n ** 50n, Number(image.readBigUInt64BE(48)))
  }),

  ...u32('TABLE_TOO_LARGE', 'snapshots', 60, 65_537, 0xffffffff),
  ...u32('TABLE_MISSING', 'snapshots without a table', 60, 1),
  spoilt('snapshots', 'TABLE_MISPLACED', 'table inside a cluster', (image) => {
    image.writeBigUInt64BE(BigInt(snapshotTable(image) + 8), 64)
  }),
  spoilt('snapshots', 'TABLE_OUTSIDE_FILE', 'table outside', (image) => void image.writeBigUInt64BE(EOF, 64)),
  spoilt('snapshots', 'TABLE_OVERLAP', 'table in the L1 table', (image) => {
    const at = snapshotTable(image)
    image.copy(image, l1(image), at, at + 512)
    image.writeBigUInt64BE(BigInt(l1(image)), 64)
  }),
  spoilt(
    'snapshots',
    'TABLE_OUTSIDE_FILE',
    'more of them than are there',
    (image) => void image.writeUInt32BE(65_000, 60),
  ),
  snapshot('TABLE_OUTSIDE_FILE', 'L1 table outside', (entry) => void entry.writeBigUInt64BE(EOF, 0)),
  snapshot('TABLE_MISPLACED', 'L1 table inside a cluster', (entry) => void entry.writeBigUInt64BE(8n, 0)),
  snapshot('TABLE_TOO_LARGE', 'L1 table of 32 GiB', (entry) => void entry.writeUInt32BE(0xffffffff, 8)),
  snapshot('TABLE_OVERLAP', 'L1 table in the header', (entry) => void entry.writeBigUInt64BE(0n, 0)),
  snapshot('EXTENSION_INVALID', 'extra data of 4 GiB', (entry) => void entry.writeUInt32BE(0xfffffff0, 36)),

  ...u64('UNCLEAN', 'features', 72, 1n),
  ...u64('CORRUPT', 'features', 72, 2n),
  ...u64('DATA_FILE', 'features', 72, 4n, 7n),
  ...u64('UNKNOWN_FEATURE', 'features', 72, 32n, 2n ** 40n, 2n ** 63n),
  ...u64('DATA_FILE', 'autoclear features', 88, 2n),
  ...u32('HEADER_INVALID', 'refcount order', 96, 7, 0xffffffff),
  ...u32('HEADER_INVALID', 'header length', 100, 0, 72, 100, 106, 4104, 0xfffffff8),
  spoilt('qcow2', 'HEADER_INVALID', 'compression type without its bit', (image) => void image.writeUInt8(1, 104)),
  ...u64('HEADER_INVALID', 'compression bit without its type', 72, 8n),
  ...[2, 255].map((type) =>
    spoilt('qcow2', 'UNKNOWN_FEATURE', `compression type ${type}`, (image) => {
      image.writeBigUInt64BE(8n, 72)
      image.writeUInt8(type, 104)
    }),
  ),

  extension('DATA_FILE', 'with the name of a data file', 0x44415441, 11, Buffer.from('/etc/shadow').toString('hex')),
  extension('ENCRYPTED', 'for LUKS', 0x0537be77, 16),
  extension('EXTENSION_INVALID', 'that leaves the cluster', 0x6803f857, CLUSTER),
  extension('EXTENSION_INVALID', 'of 4 GiB', 0x11111111, 0xffffffff),
  extension('EXTENSION_INVALID', 'of bitmaps that is too short', 0x23852875, 8),
  bitmaps('EXTENSION_INVALID', 'without one', 0, 64n, 0n),
  bitmaps('EXTENSION_INVALID', 'in no space', 4, 24n, BigInt(CLUSTER)),
  bitmaps('TABLE_TOO_LARGE', 'without end', 0xffffffff, 2n ** 40n, BigInt(CLUSTER)),
  bitmaps('TABLE_TOO_LARGE', 'of 2^60 bytes', 1, 2n ** 60n, BigInt(CLUSTER)),
  bitmaps('TABLE_OUTSIDE_FILE', 'outside', 1, 64n, EOF),
  bitmaps('TABLE_MISPLACED', 'inside a cluster', 1, 64n, BigInt(CLUSTER + 8)),
  bitmaps('TABLE_OVERLAP', 'in the refcount table', 1, 64n, BigInt(CLUSTER)),
  spoilt('qcow2', 'EXTENSION_INVALID', 'a hundred extensions', (image) => {
    for (let index = 0; index < 100; index++) image.write('2222222200000000', EXTENSIONS + index * 8, 'hex')
  }),

  ...[4, 71, 111, 112].map((bytes) => cut('qcow2', 'TRUNCATED', bytes)),
  ...[512, CLUSTER, 3 * CLUSTER].map((bytes) => cut('qcow2', 'TABLE_OUTSIDE_FILE', bytes)),
  cut('qcow2', 'DATA_OUTSIDE_FILE', 4 * CLUSTER),
  cut('qcow2', 'QEMU_REFUSED', 6 * CLUSTER),
]
