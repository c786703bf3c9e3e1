import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { cut, spoilt, type HostileImage } from './hostile-image.ts'

const MAP_OFFSET = 340
const u32 = (refusal: RefusalCode, name: string, offset: number, ...values: number[]): HostileImage[] =>
  values.map((value) => spoilt('vdi', refusal, `${name} ${value}`, (image) => void image.writeUInt32LE(value, offset)))
const u64 = (refusal: RefusalCode, name: string, offset: number, ...values: bigint[]): HostileImage[] =>
  values.map((value) =>
    spoilt('vdi', refusal, `${name} ${value}`, (image) => void image.writeBigUInt64LE(value, offset)),
  )
const map = (refusal: RefusalCode, name: string, ...entries: number[]): HostileImage =>
  spoilt('vdi', refusal, name, (image) => {
    for (const [index, entry] of entries.entries()) {
      image.writeUInt32LE(entry, image.readUInt32LE(MAP_OFFSET) + index * 4)
    }
  })

/** VDIs with parents and block maps that lie. The base has four blocks, of which two are allocated. */
export const hostileVdi: readonly HostileImage[] = [
  ...u32('UNSUPPORTED_VERSION', 'version', 68, 0, 0x10000, 0x20001),
  ...u32('HEADER_INVALID', 'header size', 72, 0, 64, 0xffffffff),
  ...u32('BACKING_FILE', 'type', 76, 3, 4),
  ...u32('UNSUPPORTED_VARIANT', 'type', 76, 0, 5, 0xffffffff),
  ...u32('BACKING_FILE', 'link to', 424, 1),
  ...u32('BACKING_FILE', 'parent', 440, 1),
  ...u32('HEADER_INVALID', 'sector size', 360, 0, 4096),
  ...u32('CLUSTER_SIZE', 'block size', 376, 0, 512, 2 ** 21, 0xffffffff),
  ...u32('UNSUPPORTED_VARIANT', 'extra bytes', 380, 512),
  ...u64('VIRTUAL_SIZE_ABSURD', 'size', 368, 0n, 2n ** 46n + 512n, 2n ** 63n),
  ...u64('ODD_SIZE', 'size', 368, 1000n),
  ...u64('VIRTUAL_SIZE_MISMATCH', 'size', 368, 512n, 2n ** 40n),
  ...u32('VIRTUAL_SIZE_MISMATCH', 'blocks', 384, 0, 3, 0xffffffff),
  ...u32('VIRTUAL_SIZE_MISMATCH', 'allocated blocks', 388, 5, 0xffffffff),
  ...u32('DATA_OUTSIDE_FILE', 'allocated blocks', 388, 4),
  ...u32('TABLE_MISPLACED', 'map offset', MAP_OFFSET, 0, 513),
  ...u32('TABLE_OVERLAP', 'map offset', MAP_OFFSET, 1024),
  ...u32('TABLE_OUTSIDE_FILE', 'map offset', MAP_OFFSET, 0x7ffffe00),
  ...u32('TABLE_MISPLACED', 'data offset', 344, 0, 1000),
  ...u32('TABLE_OVERLAP', 'data offset', 344, 512),
  ...u32('DATA_OUTSIDE_FILE', 'data offset', 344, 0x7ffffe00),
  map('DATA_OUTSIDE_FILE', 'a block outside', 0x7fffffff),
  map('DATA_OUTSIDE_FILE', 'a block behind the last', 2),
  map('TABLE_OVERLAP', 'one block twice', 1, 1),
  cut('vdi', 'TRUNCATED', 100),
  cut('vdi', 'TABLE_OUTSIDE_FILE', 512),
  cut('vdi', 'DATA_OUTSIDE_FILE', -512),
]
