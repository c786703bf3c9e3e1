import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { cut, spoilt, type BaseName, type HostileImage } from './hostile-image.ts'
import { seal } from './hostile-vpc.ts'

const SECTOR = 2048
const PVD = 16 * SECTOR
const pvd = (refusal: RefusalCode, name: string, change: (descriptor: Buffer) => void): HostileImage =>
  spoilt('iso', refusal, name, (image) => change(image.subarray(PVD, PVD + SECTOR)))
const catalog = (image: Buffer) => image.readUInt32LE(PVD + SECTOR + 71)

const hostileIso: readonly HostileImage[] = [
  pvd('COPIES_DISAGREE', 'two sizes', (bytes) => void bytes.writeUInt32BE(9999, 84)),
  pvd('COPIES_DISAGREE', 'two block sizes', (bytes) => void bytes.writeUInt16BE(512, 130)),
  pvd('CLUSTER_SIZE', 'blocks of 512 bytes', (bytes) => {
    bytes.writeUInt16LE(512, 128)
    bytes.writeUInt16BE(512, 130)
  }),
  pvd('UNSUPPORTED_VERSION', 'version 9', (bytes) => void bytes.writeUInt8(9, 6)),
  pvd('VIRTUAL_SIZE_ABSURD', 'no blocks', (bytes) => void bytes.fill(0, 80, 88)),
  pvd('TRUNCATED', 'more blocks than the file', (bytes) => {
    bytes.writeUInt32LE(99_999, 80)
    bytes.writeUInt32BE(99_999, 84)
  }),
  pvd('TABLE_OUTSIDE_FILE', 'a root directory outside', (bytes) => void bytes.writeUInt32LE(0x7fffffff, 158)),
  pvd('TABLE_OUTSIDE_FILE', 'an endless root directory', (bytes) => void bytes.writeUInt32LE(0xffffffff, 166)),
  pvd('HEADER_INVALID', 'no root directory', (bytes) => void bytes.fill(0, 156, 190)),
  pvd('HEADER_INVALID', 'a root directory in the system area', (bytes) => void bytes.writeUInt32LE(3, 158)),
  pvd('TABLE_MISSING', 'no primary descriptor', (bytes) => void bytes.writeUInt8(2, 0)),
  spoilt('iso', 'HEADER_INVALID', 'descriptors without an end', (image) => {
    image.fill(0, PVD + SECTOR, PVD + 8 * SECTOR)
  }),
  spoilt('iso', 'TABLE_MISSING', 'descriptors and nothing else', (image) => {
    for (let index = 1; index < 40; index++) image.copy(image, PVD + index * SECTOR, PVD, PVD + SECTOR)
  }),
  spoilt('iso', 'VIRTUAL_SIZE_MISMATCH', 'much behind its end', (image) =>
    Buffer.concat([image, Buffer.alloc(2 ** 23, 1)]),
  ),
  spoilt('bootIso', 'TABLE_OUTSIDE_FILE', 'boot catalog outside', (image) => {
    image.writeUInt32LE(0x7fffffff, PVD + SECTOR + 71)
  }),
  spoilt('bootIso', 'HEADER_INVALID', 'boot catalog of zeros', (image) => {
    image.fill(0, catalog(image) * SECTOR, (catalog(image) + 1) * SECTOR)
  }),
  cut('iso', 'TRUNCATED', PVD + 100),
  cut('iso', 'TRUNCATED', PVD + 4 * SECTOR),
  cut('iso', 'TRUNCATED', -100 * SECTOR),
]

const gpt = (alternate: bigint) => (image: Buffer) => {
  image.write('EFI PART', 512)
  image.writeBigUInt64LE(alternate, 512 + 32)
}
const hostileRaw: readonly HostileImage[] = [
  cut('raw', 'ODD_SIZE', -1),
  cut('raw', 'ODD_SIZE', 1000),
  spoilt('raw', 'TRUNCATED', 'a GPT of a larger disk', gpt(2n ** 30n)),
  spoilt('raw', 'TRUNCATED', 'a GPT of a disk without end', gpt(2n ** 64n - 1n)),
]

const both = (base: BaseName, name: string, mark: string, offset: number, encoding: BufferEncoding = 'latin1') =>
  spoilt(base, 'POLYGLOT', `and ${name}`, (image) => void image.write(mark, offset, encoding))
const withVhdFooter = (base: BaseName) =>
  spoilt(base, 'POLYGLOT', 'and a VHD by its footer', (image) => {
    const footer = Buffer.alloc(512)
    footer.write('conectix')
    seal(footer, 64)
    return Buffer.concat([image, footer])
  })
const polyglots: readonly HostileImage[] = [
  both('qcow2', 'an ISO', 'CD001', PVD + 1),
  both('qcow2', 'an MBR', '55aa', 510, 'hex'),
  both('qcow2', 'a GPT', 'EFI PART', 512),
  both('qcow2', 'an ext4', '53ef', 0x438, 'hex'),
  both('qcow2', 'a VDI', '7f10dabe', 64, 'hex'),
  both('qcow2', 'a tar', 'ustar', 257),
  both('vmdk', 'an ISO', 'CD001', PVD + 1),
  both('vmdk', 'an MBR', '55aa', 510, 'hex'),
  both('vhdx', 'an ISO', 'CD001', PVD + 1),
  both('vhdx', 'a GPT', 'EFI PART', 4096),
  both('vdi', 'an MBR', '55aa', 510, 'hex'),
  both('vdi', 'a qcow2', 'QFI\xfb', 0),
  both('vpc', 'an ISO', 'CD001', PVD + 1),
  both('vpc', 'a VDI', '7f10dabe', 64, 'hex'),
  both('iso', 'a qcow2', 'QFI\xfb', 0),
  both('iso', 'a VMDK descriptor', '# Disk DescriptorFile\n', 0),
  both('iso', 'a VHDX', 'vhdxfile', 0),
  both('iso', 'a ZIP', 'PK\x03\x04', 0),
  both('iso', 'a LUKS volume', 'LUKS\xba\xbe', 0),
  both('iso', 'a gzip', '\x1f\x8b\x08', 0),
  ...(['qcow2', 'vmdk', 'vhdx', 'vdi', 'iso'] as const).map(withVhdFooter),
]

const other = (name: string, bytes: string | Buffer, size = 0): HostileImage => ({
  name: `not an image: ${name}`,
  refusal: 'NOT_AN_IMAGE',
  make: () => {
    const content = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    return Buffer.concat([content, Buffer.alloc(Math.max(0, size - content.length))])
  },
})
const bootSector = (bytes: string) => {
  const sector = Buffer.alloc(4096)
  sector.write(bytes, 0, 'latin1')
  sector.write('55aa', 510, 'hex')
  return sector
}
const notImages: readonly HostileImage[] = [
  other('a web page', '<!DOCTYPE html><html><body>Sign in</body></html>'),
  other('an error of an object store', '<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'),
  other('a text', 'Not today.\n'),
  other('nothing', ''),
  other('zeros', '', 8192),
  other('noise', '\x01\x02\x03\x00\xc8', 4096),
  other('gzip', '\x1f\x8b\x08', 4096),
  other('xz', '\xfd7zXZ\0', 4096),
  other('zstd', '\x28\xb5\x2f\xfd', 4096),
  other('bzip2', 'BZh9', 4096),
  other('a ZIP', 'PK\x03\x04', 4096),
  other('a QED image', 'QED\0', 4096),
  other('a LUKS volume', 'LUKS\xba\xbe', 4096),
  other('a LUKS volume with the end of a boot sector', bootSector('LUKS\xba\xbe')),
  other('a gzip with the end of a boot sector', bootSector('\x1f\x8b\x08')),
]

/** ISOs and raw disks that lie, files of two formats at once, and what is no image at all. */
export const hostileOthers: readonly HostileImage[] = [...hostileIso, ...hostileRaw, ...polyglots, ...notImages]
