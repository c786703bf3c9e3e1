import type { ImageFormatName, Mark } from './formats/format.ts'
import { IMAGE_FORMATS } from './formats/formats.ts'

/** Content that is known and is no image of a known format. */
type OtherContent =
  'qed' | 'luks' | 'gzip' | 'xz' | 'zstd' | 'bzip2' | 'zip' | 'tar' | 'html' | 'xml' | 'text' | 'empty' | 'unknown'

/** What the first bytes of a file say it is. `raw` has a partition table or a file system; `unknown` has nothing that is known. */
export type FileSignature = ImageFormatName | OtherContent

/** How many bytes from the start of a file `fileSignature` wants to see: enough for the file system that writes latest, btrfs. */
export const SIGNATURE_BYTES = 64 * 1024 + 4096
/** How many from its end: a VHD footer. */
export const TAIL_BYTES = 512

const OTHER_MARKS: Readonly<Partial<Record<OtherContent, Mark>>> = {
  qed: { offset: 0, bytes: 'QED\0' },
  luks: { offset: 0, bytes: 'LUKS\xba\xbe' },
  gzip: { offset: 0, bytes: '\x1f\x8b' },
  xz: { offset: 0, bytes: '\xfd7zXZ\0' },
  zstd: { offset: 0, bytes: '\x28\xb5\x2f\xfd' },
  bzip2: { offset: 0, bytes: 'BZh' },
  zip: { offset: 0, bytes: 'PK\x03\x04' },
  tar: { offset: 257, bytes: 'ustar' },
}

const DESCRIPTIONS: Readonly<Record<OtherContent, string>> = {
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
  unknown: 'no disk image of a known format, and no raw disk with a partition table or file system',
}

/** Everything that the marks in a file say. More than one image, or an image and something else, is for the reader to judge. */
export interface FileMarks {
  readonly images: readonly ImageFormatName[]
  /** Set when other content has a mark; without any mark at all, what the text says. */
  readonly other: OtherContent | undefined
}

/** The marks in `head`, the first bytes of a file (SIGNATURE_BYTES or the whole file), and in `tail`, its last ones (TAIL_BYTES, when they are known). */
export function fileMarks(head: Uint8Array, tail: Uint8Array = new Uint8Array()): FileMarks {
  const [start, end] = [asBuffer(head), asBuffer(tail)]
  const images = IMAGE_FORMATS.filter(
    ({ marks, tailMarks }) =>
      marks.some((mark) => hasMark(start, mark.offset, mark.bytes)) ||
      tailMarks.some((mark) => hasMark(end, end.length - mark.offset, mark.bytes)),
  ).map(({ name }) => name)
  const marked = Object.entries(OTHER_MARKS).find(([, mark]) => hasMark(start, mark.offset, mark.bytes))
  if (marked !== undefined) return { images, other: marked[0] as OtherContent }
  return { images, other: images.length === 0 ? unmarked(start) : undefined }
}

/** What `head` says the file is, in one word: of several marks that of the most telling kind. */
export function fileSignature(head: Uint8Array): FileSignature {
  const { images, other } = fileMarks(head)
  const strong = IMAGE_FORMATS.find(({ name, weak }) => !weak && images.includes(name))
  return strong?.name ?? other ?? images[0] ?? 'unknown'
}

/** A signature for people: `a web page`. */
export function describeSignature(signature: FileSignature): string {
  const format = IMAGE_FORMATS.find(({ name }) => name === signature)
  return format?.title ?? DESCRIPTIONS[signature as OtherContent]
}

function hasMark(bytes: Buffer, offset: number, mark: string): boolean {
  const end = offset + mark.length
  return offset >= 0 && end <= bytes.length && bytes.toString('latin1', offset, end) === mark
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function unmarked(bytes: Buffer): OtherContent {
  return bytes.every((byte) => byte === 0) ? 'empty' : textSignature(bytes)
}

// Only the beginning is judged: an error page is text from its first byte.
function textSignature(bytes: Buffer): OtherContent {
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
