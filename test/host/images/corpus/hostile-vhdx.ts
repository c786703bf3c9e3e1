import { crc32c } from '../../../../src/images/formats/crc32c.ts'
import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { guid } from '../../../../src/images/formats/vhdx-regions.ts'
import { cut, spoilt, type HostileImage } from './hostile-image.ts'

const KIB = 1024
const MIB = 1024 * KIB
const HEADERS: [number, number] = [64 * KIB, 128 * KIB]
const REGIONS = [192 * KIB, 256 * KIB]
const ID = {
  bat: guid('2dc27766-f623-4200-9d64-115e9bfd4a08'),
  metadata: guid('8b7ca206-4790-4b9a-b8fe-575f050f886e'),
  parameters: guid('caa16737-fa36-4d43-b3b6-33f0aa44e76b'),
  size: guid('2fa54224-cd1b-4876-b211-5dbed83bf4b8'),
  sector: guid('8141bf1d-a96f-4709-ba47-f233a8faab5f'),
  locator: guid('a8d35f2d-b30b-454d-abf7-d3d84834ab0c'),
  foreign: guid('12345678-1234-1234-1234-123456789abc'),
}

// Both copies, with checksums made anew: the spoilt value itself is what has to be refused.
const sealed = (copies: number[], length: number, change: (copy: Buffer) => void) => (image: Buffer) => {
  for (const offset of copies) {
    const copy = image.subarray(offset, offset + length)
    change(copy)
    copy.writeUInt32LE(crc32c(copy, 4), 4)
  }
}
const header = (refusal: RefusalCode, name: string, change: (copy: Buffer) => void): HostileImage =>
  spoilt('vhdx', refusal, name, sealed(HEADERS, 4 * KIB, change))
const regions = (refusal: RefusalCode, name: string, change: (copy: Buffer) => void): HostileImage =>
  spoilt('vhdx', refusal, name, sealed(REGIONS, 64 * KIB, change))
const entryOf = (table: Buffer, id: string) => {
  const at = table.indexOf(Buffer.from(id, 'hex'))
  if (at < 0) throw new Error(`no entry ${id}`)
  return table.subarray(at, at + 32)
}
const regionAt = (image: Buffer, id: string) => {
  const entry = entryOf(image.subarray(192 * KIB, 256 * KIB), id)
  return image.subarray(Number(entry.readBigUInt64LE(16)))
}
const metadata = (refusal: RefusalCode, name: string, change: (region: Buffer) => void): HostileImage =>
  spoilt('vhdx', refusal, name, (image) => change(regionAt(image, ID.metadata)))
const item = (refusal: RefusalCode, name: string, id: string, change: (value: Buffer) => void): HostileImage =>
  metadata(refusal, name, (region) => change(region.subarray(entryOf(region, id).readUInt32LE(16))))
const block = (refusal: RefusalCode, name: string, entry: bigint): HostileImage =>
  spoilt('vhdx', refusal, name, (image) => void regionAt(image, ID.bat).writeBigUInt64LE(entry, 0))

/** VHDX files with parents, logs, tables and blocks that lie. */
export const hostileVhdx: readonly HostileImage[] = [
  spoilt('vhdx', 'CHECKSUM_WRONG', 'two damaged headers', (image) => {
    for (const offset of HEADERS) image.writeUInt8(1, offset + 100)
  }),
  spoilt(
    'vhdx',
    'CHECKSUM_WRONG',
    'headers without their mark',
    sealed(HEADERS, 4 * KIB, (copy) => void copy.write('daeh')),
  ),
  header('UNSUPPORTED_VERSION', 'version 2', (copy) => void copy.writeUInt16LE(2, 66)),
  spoilt('vhdx', 'UNCLEAN', 'a log to replay', (image) => {
    sealed(HEADERS, 4 * KIB, (copy) => void copy.write(ID.foreign, 48, 'hex'))(image)
    const log = Number(image.readBigUInt64LE(HEADERS[0] + 72)) + 8 * KIB
    image.write('loge', log)
    image.write(ID.foreign, log + 32, 'hex')
  }),
  header('TABLE_TOO_LARGE', 'a log of 4 GiB', (copy) => void copy.writeUInt32LE(0xfff00000, 68)),
  header('TABLE_TOO_LARGE', 'a log of odd length', (copy) => void copy.writeUInt32LE(4096, 68)),
  header('TABLE_MISPLACED', 'a misplaced log', (copy) => void copy.writeBigUInt64LE(4096n, 72)),
  header('TABLE_OUTSIDE_FILE', 'a log outside', (copy) => void copy.writeBigUInt64LE(2n ** 62n, 72)),
  header('TABLE_OVERLAP', 'a log in the header', (copy) => void copy.writeBigUInt64LE(0n, 72)),
  header('TABLE_OVERLAP', 'a log in the metadata', (copy) => void copy.writeBigUInt64LE(BigInt(2 * MIB), 72)),
  spoilt('vhdx', 'CHECKSUM_WRONG', 'two damaged region tables', (image) => {
    for (const offset of REGIONS) image.writeUInt8(1, offset + 5000)
  }),
  regions('TABLE_TOO_LARGE', '2^32 regions', (copy) => void copy.writeUInt32LE(0xffffffff, 8)),
  regions('TABLE_MISSING', 'no regions', (copy) => void copy.writeUInt32LE(0, 8)),
  regions('TABLE_MISSING', 'no block table', (copy) => {
    const entry = entryOf(copy, ID.bat)
    entry.write(ID.foreign, 0, 'hex')
    entry.writeUInt32LE(0, 28)
  }),
  regions('UNKNOWN_FEATURE', 'a required region of another kind', (copy) => {
    const entry = entryOf(copy, ID.bat)
    entry.write(ID.foreign, 0, 'hex')
    entry.writeUInt32LE(1, 28)
  }),
  regions('HEADER_INVALID', 'two metadata regions', (copy) => void entryOf(copy, ID.bat).write(ID.metadata, 0, 'hex')),
  regions('TABLE_MISPLACED', 'a region in the header', (copy) => void entryOf(copy, ID.bat).writeBigUInt64LE(0n, 16)),
  regions(
    'TABLE_MISPLACED',
    'an odd region',
    (copy) => void entryOf(copy, ID.bat).writeBigUInt64LE(3n * 2n ** 20n + 512n, 16),
  ),
  regions(
    'TABLE_OUTSIDE_FILE',
    'a region outside',
    (copy) => void entryOf(copy, ID.bat).writeBigUInt64LE(2n ** 62n, 16),
  ),
  regions(
    'TABLE_OUTSIDE_FILE',
    'a region of 4 GiB',
    (copy) => void entryOf(copy, ID.bat).writeUInt32LE(0xfff00000, 24),
  ),
  regions('HEADER_INVALID', 'a region of no length', (copy) => void entryOf(copy, ID.bat).writeUInt32LE(0, 24)),
  regions('TABLE_OVERLAP', 'one region in the other', (copy) => {
    entryOf(copy, ID.bat).writeBigUInt64LE(entryOf(copy, ID.metadata).readBigUInt64LE(16), 16)
  }),
  metadata('HEADER_INVALID', 'a metadata table without its mark', (region) => void region.write('atadatem', 0)),
  metadata('TABLE_TOO_LARGE', '65535 metadata items', (region) => void region.writeUInt16LE(0xffff, 10)),
  metadata('TABLE_MISSING', 'no metadata', (region) => void region.writeUInt16LE(0, 10)),
  metadata('BACKING_FILE', 'a parent locator', (region) => void entryOf(region, ID.sector).write(ID.locator, 0, 'hex')),
  metadata('UNKNOWN_FEATURE', 'a required item of another kind', (region) => {
    const entry = entryOf(region, ID.sector)
    entry.write(ID.foreign, 0, 'hex')
    entry.writeUInt32LE(4, 24)
  }),
  metadata('EXTENSION_INVALID', 'an item outside the region', (region) => {
    entryOf(region, ID.size).writeUInt32LE(0xfffffff0, 16)
  }),
  metadata(
    'EXTENSION_INVALID',
    'an item of 4 GiB',
    (region) => void entryOf(region, ID.size).writeUInt32LE(0xffffffff, 20),
  ),
  metadata(
    'EXTENSION_INVALID',
    'an item that is too short',
    (region) => void entryOf(region, ID.size).writeUInt32LE(4, 20),
  ),
  metadata('TABLE_OVERLAP', 'an item in the table', (region) => void entryOf(region, ID.size).writeUInt32LE(32, 16)),
  metadata('HEADER_INVALID', 'an item twice', (region) => void entryOf(region, ID.sector).write(ID.size, 0, 'hex')),
  item('BACKING_FILE', 'the flag of a parent', ID.parameters, (value) => void value.writeUInt32LE(2, 4)),
  item('UNKNOWN_FEATURE', 'unknown flags', ID.parameters, (value) => void value.writeUInt32LE(8, 4)),
  ...[0, 512 * KIB, 3 * MIB, 512 * MIB].map((bytes) =>
    item('CLUSTER_SIZE', `blocks of ${bytes} bytes`, ID.parameters, (value) => void value.writeUInt32LE(bytes, 0)),
  ),
  ...[0, 4096, 0xffffffff].map((bytes) =>
    item('UNSUPPORTED_VARIANT', `sectors of ${bytes} bytes`, ID.sector, (value) => void value.writeUInt32LE(bytes, 0)),
  ),
  ...[0n, 2n ** 46n + 512n, 2n ** 63n].map((size) =>
    item('VIRTUAL_SIZE_ABSURD', `size ${size}`, ID.size, (value) => void value.writeBigUInt64LE(size, 0)),
  ),
  item('ODD_SIZE', 'size 1000', ID.size, (value) => void value.writeBigUInt64LE(1000n, 0)),
  item(
    'VIRTUAL_SIZE_MISMATCH',
    'a size beyond the block table',
    ID.size,
    (value) => void value.writeBigUInt64LE(2n ** 40n, 0),
  ),
  item(
    'TABLE_TOO_LARGE',
    'a size with an endless block table',
    ID.size,
    (value) => void value.writeBigUInt64LE(2n ** 46n, 0),
  ),
  block('DATA_OUTSIDE_FILE', 'a block outside', ((2n ** 40n) << 20n) | 6n),
  block('DATA_OUTSIDE_FILE', 'a block in the header', 6n),
  block('HEADER_INVALID', 'a block in state 5', (4n << 20n) | 5n),
  block('BACKING_FILE', 'a block partly in a parent', (4n << 20n) | 7n),
  ...[8, 70_000].map((bytes) => cut('vhdx', 'TRUNCATED', bytes)),
  ...[200_000, MIB].map((bytes) => cut('vhdx', 'TABLE_OUTSIDE_FILE', bytes)),
  cut('vhdx', 'DATA_OUTSIDE_FILE', -MIB),
]
