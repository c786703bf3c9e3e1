import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { HEX_LENGTH, type Checksum, type DigestAlgorithm } from '../verify.ts'

/** One line of a sums file. */
export interface SumsEntry extends Checksum {
  readonly file: string
}

/** More lines than any publisher has; what is longer is no sums file. */
const MAX_LINES = 20_000

/**
 * The sha256 and sha512 entries of a sums file: `<hex>  file` and `<hex> *file` (coreutils; Debian, Ubuntu), `SHA256 (file) = <hex>` (BSD; Fedora), mixed with comments and digests of
 * other kinds, which are left out. Text that is clear-signed must have been taken out of its signature before. Throws SUMS_UNUSABLE for an absurd length.
 */
export function parseSums(text: string): SumsEntry[] {
  const bare = bareDigest(text)
  if (bare !== undefined) return [bare]
  const lines = text.split(/\r?\n/, MAX_LINES + 1)
  if (lines.length > MAX_LINES) throw unusable(`it has more than ${MAX_LINES} lines`)
  return lines.flatMap((line) => parseLine(line) ?? [])
}

/**
 * The checksums of `file` (exact name; `./` in front of it is nothing) in the sums: at most one of each algorithm. Throws SUMS_UNUSABLE naming the file when there is
 * none, or when two lines say different things of it.
 */
export function findChecksums(entries: readonly SumsEntry[], file: string): Checksum[] {
  const found = new Map<DigestAlgorithm, Checksum>()
  for (const { algorithm, hex, file: name } of entries) {
    if (name !== file && name !== NAMELESS) continue
    const before = found.get(algorithm)
    if (before !== undefined && before.hex !== hex)
      throw unusable(`it has two different ${algorithm} for ${quote(file)}`)
    found.set(algorithm, { algorithm, hex })
  }
  if (found.size > 0) return [...found.values()]
  throw unusable(`it has no sha256 or sha512 for ${quote(file)} among its ${entries.length} entries`)
}

/** The file of a digest that stands alone: whatever the document is named beside (Alpine). */
const NAMELESS = ''

function bareDigest(text: string): SumsEntry | undefined {
  const hex = text.trim().toLowerCase()
  if (!/^([0-9a-f]{64}|[0-9a-f]{128})$/.test(hex)) return undefined
  return { algorithm: hex.length === HEX_LENGTH.sha256 ? 'sha256' : 'sha512', hex, file: NAMELESS }
}

// coreutils escapes names with a newline or backslash by a backslash in front of the line; no image has such a name.
const COREUTILS = /^([0-9a-fA-F]{64}|[0-9a-fA-F]{128}) [ *](.+)$/
const BSD = /^(SHA-?256|SHA-?512) ?\((.+)\) ?= ?([0-9a-fA-F]+)$/

function parseLine(raw: string): SumsEntry | undefined {
  const line = raw.trimEnd()
  const plain = COREUTILS.exec(line)
  if (plain !== null) {
    const hex = (plain[1] ?? '').toLowerCase()
    return { algorithm: hex.length === HEX_LENGTH.sha256 ? 'sha256' : 'sha512', hex, file: nameOf(plain[2] ?? '') }
  }
  const bsd = BSD.exec(line)
  if (bsd === null) return undefined
  const algorithm = bsd[1]?.endsWith('256') === true ? 'sha256' : 'sha512'
  const hex = (bsd[3] ?? '').toLowerCase()
  return hex.length === HEX_LENGTH[algorithm] ? { algorithm, hex, file: nameOf(bsd[2] ?? '') } : undefined
}

// Sums made in the directory itself say ./file. A line for a file elsewhere is another file.
function nameOf(text: string): string {
  return text.trimStart().replace(/^(\.\/)+/, '')
}

function unusable(why: string): AgentError {
  return new AgentError('SUMS_UNUSABLE', `the sums file cannot be used: ${why}`)
}
