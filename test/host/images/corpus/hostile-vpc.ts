import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { cut, spoilt, type BaseName, type HostileImage } from './hostile-image.ts'

const SECTOR = 512
const HEADER = SECTOR

/** Puts the right checksum into a footer or dynamic header. */
export function seal(bytes: Buffer, offset: number): void {
  bytes.writeUInt32BE(0, offset)
  bytes.writeUInt32BE(~bytes.reduce((sum, byte) => sum + byte, 0) >>> 0, offset)
}

const footer = (base: BaseName, refusal: RefusalCode, name: string, change: (footer: Buffer) => void): HostileImage =>
  spoilt(base, refusal, name, (image) => {
    const end = image.subarray(-SECTOR)
    change(end)
    seal(end, 64)
    if (base === 'vpc') end.copy(image, 0)
  })
const header = (refusal: RefusalCode, name: string, change: (header: Buffer) => void): HostileImage =>
  spoilt('vpc', refusal, name, (image) => {
    const bytes = image.subarray(HEADER, HEADER + 1024)
    change(bytes)
    seal(bytes, 36)
  })

/** VHDs with parents, wrong copies and tables that lie. */
export const hostileVpc: readonly HostileImage[] = [
  spoilt('vpc', 'CHECKSUM_WRONG', 'a damaged footer', (image) => void image.writeUInt8(7, image.length - 100)),
  spoilt('fixedVpc', 'CHECKSUM_WRONG', 'a damaged footer', (image) => void image.writeUInt8(7, image.length - 100)),
  spoilt('vpc', 'CHECKSUM_WRONG', 'a damaged copy of the footer', (image) => void image.writeUInt8(7, 400)),
  spoilt('vpc', 'COPIES_DISAGREE', 'a footer of another size', (image) => {
    image.writeBigUInt64BE(4096n, 48)
    seal(image.subarray(0, SECTOR), 64)
  }),
  spoilt('vpc', 'CHECKSUM_WRONG', 'a damaged header', (image) => void image.writeUInt8(7, HEADER + 900)),
  footer('vpc', 'UNSUPPORTED_VERSION', 'version 2', (bytes) => void bytes.writeUInt32BE(0x20000, 12)),
  footer('vpc', 'BACKING_FILE', 'the type of a differencing disk', (bytes) => void bytes.writeUInt32BE(4, 60)),
  ...[0, 1, 5, 0xffffffff].map((type) =>
    footer('vpc', 'UNSUPPORTED_VARIANT', `type ${type}`, (bytes) => void bytes.writeUInt32BE(type, 60)),
  ),
  footer('vpc', 'VIRTUAL_SIZE_MISMATCH', 'the type of a fixed disk', (bytes) => void bytes.writeUInt32BE(2, 60)),
  footer('vpc', 'UNCLEAN', 'a saved state', (bytes) => void bytes.writeUInt8(1, 84)),
  ...[0n, 2n ** 46n + 512n, 2n ** 63n].map((size) =>
    footer('vpc', 'VIRTUAL_SIZE_ABSURD', `size ${size}`, (bytes) => void bytes.writeBigUInt64BE(size, 48)),
  ),
  footer('vpc', 'ODD_SIZE', 'size 1000', (bytes) => void bytes.writeBigUInt64BE(1000n, 48)),
  footer(
    'vpc',
    'VIRTUAL_SIZE_MISMATCH',
    'a size beyond the table',
    (bytes) => void bytes.writeBigUInt64BE(2n ** 40n, 48),
  ),
  footer('vpc', 'TABLE_OUTSIDE_FILE', 'a header outside', (bytes) => void bytes.writeBigUInt64BE(2n ** 62n, 16)),
  footer('vpc', 'HEADER_INVALID', 'a header elsewhere', (bytes) => void bytes.writeBigUInt64BE(1024n, 16)),
  footer('fixedVpc', 'VIRTUAL_SIZE_MISMATCH', 'a larger size', (bytes) => void bytes.writeBigUInt64BE(2n ** 30n, 48)),
  footer('fixedVpc', 'VIRTUAL_SIZE_MISMATCH', 'a smaller size', (bytes) => void bytes.writeBigUInt64BE(512n, 48)),
  footer('fixedVpc', 'TABLE_MISSING', 'the type of a dynamic disk', (bytes) => void bytes.writeUInt32BE(3, 60)),
  header('HEADER_INVALID', 'a header without its mark', (bytes) => void bytes.write('sparsexc')),
  header('UNSUPPORTED_VERSION', 'a header of version 9', (bytes) => void bytes.writeUInt32BE(0x90000, 24)),
  header('BACKING_FILE', 'the id of a parent', (bytes) => void bytes.writeUInt8(1, 45)),
  header('BACKING_FILE', 'the place of a parent', (bytes) => void bytes.write('W2ru', 576)),
  header('BACKING_FILE', 'the last place of a parent', (bytes) => void bytes.write('MacX', 576 + 7 * 24)),
  ...[0, 512, 3000, 0x80000000].map((bytes) =>
    header('CLUSTER_SIZE', `blocks of ${bytes} bytes`, (head) => void head.writeUInt32BE(bytes, 32)),
  ),
  header('TABLE_TOO_LARGE', 'a table without end', (bytes) => void bytes.writeUInt32BE(0xffffffff, 28)),
  header('VIRTUAL_SIZE_MISMATCH', 'a table without entries', (bytes) => void bytes.writeUInt32BE(0, 28)),
  header('TABLE_OUTSIDE_FILE', 'a table outside', (bytes) => void bytes.writeBigUInt64BE(2n ** 62n, 16)),
  header('TABLE_MISPLACED', 'an odd table', (bytes) => void bytes.writeBigUInt64BE(1537n, 16)),
  header('TABLE_OVERLAP', 'a table in the header', (bytes) => void bytes.writeBigUInt64BE(1024n, 16)),
  spoilt('vpc', 'DATA_OUTSIDE_FILE', 'a block outside', (image) => {
    image.writeUInt32BE(0x7fffffff, Number(image.readBigUInt64BE(HEADER + 16)))
  }),
  cut('vpc', 'TRUNCATED', -SECTOR),
  cut('vpc', 'TRUNCATED', -100),
  cut('vpc', 'TRUNCATED', SECTOR),
  cut('vpc', 'TRUNCATED', 4096),
]
