/** What the first bytes of a file say it is. `raw-disk` has a partition table or a file system; `unknown` has nothing that is known. */
export type FileSignature =
  | 'qcow2'
  | 'raw-disk'
  | 'iso'
  | 'vmdk'
  | 'vhdx'
  | 'vhd'
  | 'vdi'
  | 'qed'
  | 'luks'
  | 'gzip'
  | 'xz'
  | 'zstd'
  | 'bzip2'
  | 'zip'
  | 'tar'
  | 'html'
  | 'xml'
  | 'text'
  | 'empty'
  | 'unknown'

/** How many bytes from the start of a file `fileSignature` wants to see: enough for the file system that writes latest, btrfs. */
export const SIGNATURE_BYTES = 64 * 1024 + 4096

interface Magic {
  readonly signature: FileSignature
  readonly offset: number
  readonly bytes: string
}

// Order matters: a hybrid ISO also has a boot sector, so its own mark is looked for first. Strings are latin1.
const MAGICS: readonly Magic[] = [
  { signature: 'qcow2', offset: 0, bytes: 'QFI\xfb' },
  { signature: 'vmdk', offset: 0, bytes: 'KDMV' },
  { signature: 'vmdk', offset: 0, bytes: 'COWD' },
  { signature: 'vmdk', offset: 0, bytes: '# Disk DescriptorFile' },
  { signature: 'vhdx', offset: 0, bytes: 'vhdxfile' },
  { signature: 'vhd', offset: 0, bytes: 'conectix' },
  { signature: 'vdi', offset: 64, bytes: '\x7f\x10\xda\xbe' },
  { signature: 'qed', offset: 0, bytes: 'QED\0' },
  { signature: 'luks', offset: 0, bytes: 'LUKS\xba\xbe' },
  { signature: 'gzip', offset: 0, bytes: '\x1f\x8b' },
  { signature: 'xz', offset: 0, bytes: '\xfd7zXZ\0' },
  { signature: 'zstd', offset: 0, bytes: '\x28\xb5\x2f\xfd' },
  { signature: 'bzip2', offset: 0, bytes: 'BZh' },
  { signature: 'zip', offset: 0, bytes: 'PK\x03\x04' },
  { signature: 'tar', offset: 257, bytes: 'ustar' },
  { signature: 'iso', offset: 32_769, bytes: 'CD001' },
  { signature: 'raw-disk', offset: 510, bytes: '\x55\xaa' },
  { signature: 'raw-disk', offset: 512, bytes: 'EFI PART' },
  { signature: 'raw-disk', offset: 4096, bytes: 'EFI PART' },
  { signature: 'raw-disk', offset: 0, bytes: 'XFSB' },
  { signature: 'raw-disk', offset: 0, bytes: 'hsqs' },
  { signature: 'raw-disk', offset: 0x438, bytes: '\x53\xef' },
  { signature: 'raw-disk', offset: 512, bytes: 'LABELONE' },
  { signature: 'raw-disk', offset: 0x10040, bytes: '_BHRfS_M' },
]

/** What `head`, the first bytes of a file (SIGNATURE_BYTES or the whole file), says the file is. */
export function fileSignature(head: Uint8Array): FileSignature {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  for (const magic of MAGICS) {
    const end = magic.offset + magic.bytes.length
    if (end <= bytes.length && bytes.toString('latin1', magic.offset, end) === magic.bytes) return magic.signature
  }
  if (bytes.every((byte) => byte === 0)) return 'empty'
  return textSignature(bytes)
}

const DESCRIPTIONS: Readonly<Partial<Record<FileSignature, string>>> = {
  iso: 'an ISO image (a CD-ROM, not a disk)',
  vmdk: 'a VMDK image; convert it to qcow2 first',
  vhdx: 'a VHDX image; convert it to qcow2 first',
  vhd: 'a VHD image; convert it to qcow2 first',
  vdi: 'a VDI image; convert it to qcow2 first',
  qed: 'a QED image; convert it to qcow2 first',
  luks: 'a LUKS-encrypted volume',
  gzip: 'compressed with gzip; use the URL of the unpacked image',
  xz: 'compressed with xz; use the URL of the unpacked image',
  zstd: 'compressed with zstd; use the URL of the unpacked image',
  bzip2: 'compressed with bzip2; use the URL of the unpacked image',
  zip: 'a ZIP archive; use the URL of the image itself',
  tar: 'a tar or OVA archive; use the URL of the image itself',
  html: 'a web page',
  xml: 'an XML document, usually the error of an object store',
  text: 'a text file',
  empty: 'empty or begins with zeros only',
  unknown: 'neither qcow2 nor a raw disk with a partition table or file system',
}

/** A signature for people: `a web page`. */
export function describeSignature(signature: FileSignature): string {
  return DESCRIPTIONS[signature] ?? `a ${signature} image`
}

// Only the beginning is judged: an error page is text from its first byte.
function textSignature(bytes: Buffer): FileSignature {
  const start = bytes.subarray(0, 512)
  const text = start
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .trimStart()
    .toLowerCase()
  if (/^(<!--[^]*?-->\s*)?<(!doctype html|html|head|body)/.test(text)) return 'html'
  if (text.startsWith('<?xml') || /^<[a-z]+[ >]/.test(text)) return text.includes('<html') ? 'html' : 'xml'
  const printable = start.every((byte) => byte === 9 || byte === 10 || byte === 13 || byte >= 32)
  return printable ? 'text' : 'unknown'
}
