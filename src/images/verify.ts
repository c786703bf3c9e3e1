import { AgentError } from '../core/errors.ts'
import { withoutQuery } from '../platform/fetch-policy.ts'

/** Digests the agent verifies by. */
export type DigestAlgorithm = 'sha256' | 'sha512'

/** Digests of one file in lower-case hex. */
export type Digests = Readonly<Partial<Record<DigestAlgorithm, string>>>

/** What a caller says the file's digest is. */
export interface Checksum {
  readonly algorithm: DigestAlgorithm
  /** Lower-case hex of the full length. */
  readonly hex: string
}

/** Digits of a digest. */
export const HEX_LENGTH: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 }

/**
 * A checksum from a request: `sha256:<hex>`, `sha512:<hex>`, or bare hex whose length tells; undefined when none is given. A `type` beside it (gRPC) must agree.
 * Throws CHECKSUM_INVALID.
 */
export function parseChecksum(text: string, type = ''): Checksum | undefined {
  const given = text.trim().toLowerCase()
  if (given === '') return undefined
  const match = /^(?:([a-z0-9-]+):)?([0-9a-f]+)$/.exec(given)
  const hex = match?.[2] ?? ''
  const named = match?.[1] ?? type.trim().toLowerCase()
  const algorithm = toAlgorithm(named === '' ? lengthName(hex) : named)
  const typeAgrees = type.trim() === '' || toAlgorithm(type.trim().toLowerCase()) === algorithm
  if (algorithm === undefined || hex.length !== HEX_LENGTH[algorithm] || !typeAgrees) {
    throw new AgentError(
      'CHECKSUM_INVALID',
      'checksum: give sha256 (64 hexadecimal digits) or sha512 (128), bare or as sha256:<hex>',
    )
  }
  return { algorithm, hex }
}

/** Throws CHECKSUM_MISMATCH when `digests` lack or contradict the expected checksum of what (`part` of it) came from `url`; no checksum, no complaint. */
export function checkDigest(digests: Digests, expected: Checksum | undefined, url: string, part = ''): void {
  if (expected === undefined) return
  const actual = digests[expected.algorithm]
  if (actual === expected.hex) return
  const parsed = URL.parse(url)
  const name = parsed === null ? url : withoutQuery(parsed)
  throw new AgentError(
    'CHECKSUM_MISMATCH',
    `${part}${name}: ${expected.algorithm} is ${actual ?? 'unknown'}, expected ${expected.hex}; nothing was kept`,
  )
}

/** The digests to make of a file: sha256 for the manifest, and what it is checked by. */
export function digestAlgorithms(...expected: readonly (Checksum | undefined)[]): DigestAlgorithm[] {
  return expected.some((checksum) => checksum?.algorithm === 'sha512') ? ['sha256', 'sha512'] : ['sha256']
}

function lengthName(hex: string): string {
  return hex.length === HEX_LENGTH.sha256 ? 'sha256' : hex.length === HEX_LENGTH.sha512 ? 'sha512' : ''
}

function toAlgorithm(name: string): DigestAlgorithm | undefined {
  const plain = name.replace('-', '')
  return plain === 'sha256' || plain === 'sha512' ? plain : undefined
}
