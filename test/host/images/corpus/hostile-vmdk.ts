import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { cut, spoilt, type HostileImage } from './hostile-image.ts'

const SECTOR = 512
const DESCRIPTOR = SECTOR

const u32 = (refusal: RefusalCode, name: string, offset: number, ...values: number[]): HostileImage[] =>
  values.map((value) => spoilt('vmdk', refusal, `${name} ${value}`, (image) => void image.writeUInt32LE(value, offset)))
const u64 = (refusal: RefusalCode, name: string, offset: number, ...values: bigint[]): HostileImage[] =>
  values.map((value) =>
    spoilt('vmdk', refusal, `${name} 0x${value.toString(16)}`, (image) => void image.writeBigUInt64LE(value, offset)),
  )
const descriptor = (refusal: RefusalCode, name: string, from: RegExp | string, to: string): HostileImage =>
  spoilt('vmdk', refusal, `descriptor with ${name}`, (image) => {
    const text = image.toString('latin1', DESCRIPTOR, image.indexOf(0, DESCRIPTOR))
    const changed = text.replace(from, to)
    if (changed === text) throw new Error(`the descriptor has no ${String(from)}`)
    image.fill(0, DESCRIPTOR, DESCRIPTOR + text.length)
    image.write(changed, DESCRIPTOR, 'latin1')
  })

/** A stream-optimised image whose directory is told by a footer, as OVF tools write it. */
export function withFooter(stream: Buffer): Buffer {
  const header = Buffer.from(stream.subarray(0, SECTOR))
  const marker = (type: number) => {
    const sector = Buffer.alloc(SECTOR)
    sector.writeUInt32LE(type, 12)
    if (type === 3) sector.writeBigUInt64LE(1n, 0)
    return sector
  }
  const body = Buffer.concat([stream, Buffer.alloc((SECTOR - (stream.length % SECTOR)) % SECTOR)])
  body.writeBigUInt64LE(2n ** 64n - 1n, 56)
  return Buffer.concat([body, marker(3), header, marker(0)])
}

const footer = (refusal: RefusalCode, name: string, change: (image: Buffer) => Buffer | void): HostileImage =>
  spoilt('stream', refusal, name, (image) => {
    const made = withFooter(image)
    return change(made) ?? made
  })

const EXTENT = /^RW .*$/m

/** VMDKs that name other files, have a parent or lie about their tables. */
export const hostileVmdk: readonly HostileImage[] = [
  ...u32('UNSUPPORTED_VERSION', 'version', 4, 0, 4, 0xffffffff),
  ...u32('UNKNOWN_FEATURE', 'flags', 8, 0x11, 0x80000001),
  spoilt('vmdk', 'HEADER_INVALID', 'line ends changed by FTP', (image) => void image.write('\n \n\n', 73, 'latin1')),
  spoilt('vmdk', 'UNCLEAN', 'not closed', (image) => void image.writeUInt8(1, 72)),
  spoilt('vmdk', 'UNKNOWN_FEATURE', 'compression type 2', (image) => void image.writeUInt16LE(2, 77)),
  spoilt('vmdk', 'HEADER_INVALID', 'compression without its flag', (image) => void image.writeUInt16LE(1, 77)),
  ...u64('VIRTUAL_SIZE_ABSURD', 'capacity', 12, 0n, 2n ** 37n + 1n, 2n ** 63n, 2n ** 64n - 1n),
  ...u64('VIRTUAL_SIZE_MISMATCH', 'capacity', 12, 1n, 4096n),
  ...u64('CLUSTER_SIZE', 'grain size', 20, 0n, 1n, 24n, 32_768n, 2n ** 63n),
  ...u32('HEADER_INVALID', 'entries per table', 44, 0, 256, 0xffffffff),
  ...u64('UNSUPPORTED_VARIANT', 'descriptor offset', 28, 0n),
  ...u64('UNSUPPORTED_VARIANT', 'descriptor sectors', 36, 0n),
  ...u64('TABLE_TOO_LARGE', 'descriptor sectors', 36, 129n, 2n ** 63n),
  ...u64('TABLE_OUTSIDE_FILE', 'descriptor offset', 28, 2n ** 40n, 2n ** 64n - 1n),
  ...u64('EXTENSION_INVALID', 'descriptor offset', 28, 3n),
  descriptor('BACKING_FILE', 'a parent', /parentCID=\w+/, 'parentCID=12345678'),
  descriptor('BACKING_FILE', 'no word of a parent', /parentCID=\w+\n/, ''),
  descriptor('BACKING_FILE', 'the name of a parent', EXTENT, '$&\nparentFileNameHint="/etc/shadow"'),
  descriptor('BACKING_FILE', 'the name of a parent in a comment', EXTENT, '$&\n# parentFileNameHint="/etc/shadow"'),
  descriptor('EXTERNAL_EXTENT', 'a flat extent', EXTENT, 'RW 2048 FLAT "/etc/shadow" 0'),
  descriptor('EXTERNAL_EXTENT', 'a device', EXTENT, 'RW 2048 FLAT "/dev/sda" 0'),
  descriptor('EXTERNAL_EXTENT', 'a VMFS extent', EXTENT, 'RW 2048 VMFS "a-flat.vmdk"'),
  descriptor('EXTERNAL_EXTENT', 'an extent of zeros', EXTENT, 'RW 2048 ZERO'),
  descriptor('EXTERNAL_EXTENT', 'a sparse extent elsewhere', EXTENT, 'RW 2048 SPARSE "/var/lib/vm/disk.vmdk"'),
  descriptor('EXTERNAL_EXTENT', 'a sparse extent above', EXTENT, 'RW 2048 SPARSE "..\\disk.vmdk"'),
  descriptor('EXTERNAL_EXTENT', 'two extents', EXTENT, '$&\nRW 2048 SPARSE "b.vmdk"'),
  descriptor('EXTENSION_INVALID', 'no extent', EXTENT, ''),
  descriptor('EXTENSION_INVALID', 'nonsense for an extent', EXTENT, 'RW lots SPARSE "a"'),
  descriptor('EXTENSION_INVALID', 'no access', /^RW/m, 'NOACCESS'),
  descriptor('EXTENSION_INVALID', 'another beginning', '# Disk DescriptorFile', '# Disc DescriptorFile'),
  descriptor('EXTENSION_INVALID', 'two kinds', EXTENT, '$&\ncreateType="streamOptimized"'),
  descriptor('VIRTUAL_SIZE_MISMATCH', 'another size', /^RW \d+/m, 'RW 4096'),
  descriptor('UNSUPPORTED_VARIANT', 'a flat kind', /createType="\w+"/, 'createType="monolithicFlat"'),
  descriptor('UNSUPPORTED_VARIANT', 'a kind of many files', /createType="\w+"/, 'createType="twoGbMaxExtentSparse"'),
  descriptor('UNSUPPORTED_VARIANT', 'a raw device mapping', /createType="\w+"/, 'createType="vmfsRawDeviceMap"'),
  descriptor('HEADER_INVALID', 'the kind of another header', /createType="\w+"/, 'createType="streamOptimized"'),
  descriptor('ENCRYPTED', 'a key safe', EXTENT, '$&\nencryption.keySafe = "vmware:key/list"'),
  ...u64('TABLE_MISSING', 'directory offset', 56, 0n),
  ...u64('TABLE_OUTSIDE_FILE', 'directory offset', 56, 2n ** 40n, 2n ** 64n - 2n),
  ...u64('TABLE_OVERLAP', 'directory offset', 56, 1n),
  spoilt('vmdk', 'DATA_OUTSIDE_FILE', 'grain table outside', (image) => {
    image.writeUInt32LE(0x7fffffff, Number(image.readBigUInt64LE(56)) * SECTOR)
  }),
  spoilt('vmdk', 'QEMU_REFUSED', 'grain outside', (image) => {
    const table = image.readUInt32LE(Number(image.readBigUInt64LE(56)) * SECTOR) * SECTOR
    image.writeUInt32LE(0x7fffffff, table)
  }),
  footer('COPIES_DISAGREE', 'footer of another size', (image) => {
    image.writeBigUInt64LE(4096n, image.length - 2 * SECTOR + 12)
  }),
  footer('TABLE_MISSING', 'footer without a directory', (image) => {
    image.writeBigUInt64LE(2n ** 64n - 1n, image.length - 2 * SECTOR + 56)
  }),
  footer('TRUNCATED', 'no footer', (image) => Buffer.from(image.subarray(0, -3 * SECTOR))),
  footer('TRUNCATED', 'no end of stream', (image) => Buffer.from(image.subarray(0, -SECTOR))),
  footer('TRUNCATED', 'half a sector', (image) => Buffer.from(image.subarray(0, -100))),
  {
    name: 'vmdk: a descriptor of another file',
    refusal: 'EXTERNAL_EXTENT',
    make: () =>
      Buffer.from(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n',
      ),
  },
  {
    name: 'vmdk: a copy-on-write extent of ESX',
    refusal: 'UNSUPPORTED_VARIANT',
    make: () => Buffer.concat([Buffer.from('COWD'), Buffer.alloc(4092)]),
  },
  cut('vmdk', 'TRUNCATED', 100),
  cut('vmdk', 'TABLE_OUTSIDE_FILE', 1024),
]
