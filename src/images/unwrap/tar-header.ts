import { damaged } from './member.ts'

/** Bytes that are in the archive, and where they belong in the file. */
export interface DataPiece {
  readonly offset: number
  readonly length: number
}

/** One header block, as far as it matters here. */
export interface TarHeader {
  readonly name: string
  /** Bytes in the archive, without padding. */
  readonly storedBytes: number
  readonly type: string
  /** Of a sparse file (GNU, type S): its size, its first pieces, and whether more of them follow in blocks of their own. */
  readonly sparse?: { readonly realBytes: number; readonly pieces: readonly DataPiece[]; readonly more: boolean }
}

/** Everything in a tar archive is in blocks of this size. */
export const TAR_BLOCK = 512

/** A header block; undefined for the zeros at the end. Throws WRAPPER_DAMAGED. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.length < TAR_BLOCK) throw damaged('tar', 'it ends in the middle of a header')
  if (block.every((byte) => byte === 0)) return undefined
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0)
  if (sum !== number(block, 148, 8)) throw damaged('tar', 'the checksum of a header is wrong')
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(block, 345, 155) : ''
  const name = [prefix, text(block, 0, 100)].filter(Boolean).join('/')
  const type = String.fromCharCode(block[156] || 0x30)
  const header = { name, storedBytes: number(block, 124, 12), type }
  if (type !== 'S') return header
  const sparse = { realBytes: number(block, 483, 12), pieces: pieces(block, 386, 4), more: block[482] !== 0 }
  return { ...header, sparse }
}

/** A block of further pieces of a sparse file. */
export function parseSparseBlock(block: Buffer): { pieces: DataPiece[]; more: boolean } {
  if (block.length < TAR_BLOCK) throw damaged('tar', 'it ends in the middle of a sparse map')
  return { pieces: pieces(block, 0, 21), more: block[504] !== 0 }
}

/** The records of a POSIX extended header: `<length> <key>=<value>\n`. Throws WRAPPER_DAMAGED. */
export function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at)
    const length = Number(bytes.toString('latin1', at, Math.max(at, space)))
    if (!Number.isSafeInteger(length) || length <= space - at || at + length > bytes.length) {
      throw damaged('tar', 'an extended header is malformed')
    }
    const [, key, value] = /^([^=]*)=([^]*)\n$/.exec(bytes.toString('utf8', space + 1, at + length)) ?? []
    if (key !== undefined && value !== undefined) records.set(key, value)
    at += length
  }
  return records
}

function pieces(block: Buffer, offset: number, count: number): DataPiece[] {
  const found = Array.from({ length: count }, (_, index) => ({
    offset: number(block, offset + index * 24, 12),
    length: number(block, offset + index * 24 + 12, 12),
  }))
  return found.filter(({ length }) => length > 0)
}

// Octal text, or (GNU) a binary number marked by the highest bit.
function number(block: Buffer, offset: number, length: number): number {
  if (((block[offset] ?? 0) & 0x80) !== 0) {
    const value = Number(block.readBigUInt64BE(offset + length - 8))
    if (!Number.isSafeInteger(value)) throw damaged('tar', 'a header has an absurd number')
    return value
  }
  const digits = text(block, offset, length).trim()
  if (!/^[0-7]*$/.test(digits)) throw damaged('tar', 'a header has a malformed number')
  return Number.parseInt(digits || '0', 8)
}

function text(block: Buffer, offset: number, length: number): string {
  const field = block.subarray(offset, offset + length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? length : end)
}
