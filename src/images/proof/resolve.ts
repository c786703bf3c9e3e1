import { isAgentError } from '../../core/errors.ts'
import type { Checksum } from '../verify.ts'
import { clearsignedText } from './clearsigned.ts'
import { readKeyrings, type Keyring } from './keyring.ts'
import type { ProofRequest } from './proof-request.ts'
import { verifySignature, type SignedText } from './signature.ts'
import { findChecksums, parseSums } from './sums.ts'

/** The digests an image is held against. Plain data. */
export interface ResolvedProof {
  /** Of the bytes of the source; all must match. */
  readonly source: readonly Checksum[]
  /** Of the disk image inside, before it is converted. */
  readonly final: readonly Checksum[]
  /** Fingerprint of the key that signed the sums. */
  readonly signer?: string
}

/** Fetches a small document by URL. */
export type FetchDocument = (url: string) => Promise<Buffer>

/** Where publishers put detached signatures: beside the sums, with one of these endings. */
const SIGNATURE_SUFFIXES = ['.gpg', '.sign', '.asc', '.sig'] as const

/**
 * Turns what a request gives into digests: sums are fetched, their signature is checked, the entry of the file is taken from what was signed. A signature that is named or demanded must hold; a
 * clear-signed file must hold as soon as a pinned key made it. Errors: SUMS_UNUSABLE, SIGNATURE_INVALID, CONFIG_INVALID, COMMAND_MISSING, those of `fetch`.
 */
export async function resolveProof(
  request: ProofRequest,
  keyringsDir: string,
  fetch: FetchDocument,
  signal: AbortSignal,
): Promise<ResolvedProof> {
  const given = request.checksum === undefined ? [] : [request.checksum]
  const final = request.finalChecksum === undefined ? [] : [request.finalChecksum]
  if (request.sums === undefined) return { source: given, final }
  const sums = await fetch(request.sums.url)
  const keyrings = await readKeyrings(keyringsDir)
  const signed = await signedSums(request, sums, keyrings, fetch, signal)
  const text = signed?.text ?? clearsignedText(sums.toString('utf8')) ?? sums.toString('utf8')
  const found = findChecksums(parseSums(text), request.sums.file)
  return { source: [...given, ...found], final, ...(signed === undefined ? {} : { signer: signed.signer }) }
}

async function signedSums(
  { level, sums: place }: ProofRequest,
  sums: Buffer,
  keyrings: readonly Keyring[],
  fetch: FetchDocument,
  signal: AbortSignal,
): Promise<SignedText | undefined> {
  if (place?.signatureUrl !== undefined) {
    const bytes = await fetch(place.signatureUrl)
    return verifySignature(sums, { type: 'detached', bytes }, keyrings, signal)
  }
  const clear = clearsignedText(sums.toString('utf8')) !== undefined
  if (clear) {
    return verifySignature(sums, { type: 'clear' }, keyrings, signal).catch((error: unknown) => {
      // Nobody asked for a signature, and of this publisher nothing is pinned: its sums are worth what any sums are.
      const unasked = level !== 'signature' && isAgentError(error, 'SIGNATURE_INVALID')
      if (unasked && error.details['cause'] === 'unknown-key') return undefined
      throw error
    })
  }
  if (level !== 'signature') return undefined
  const bytes = await detachedBeside(place?.url ?? '', fetch)
  return verifySignature(sums, bytes === undefined ? { type: 'clear' } : { type: 'detached', bytes }, keyrings, signal)
}

async function detachedBeside(url: string, fetch: FetchDocument): Promise<Buffer | undefined> {
  for (const suffix of SIGNATURE_SUFFIXES) {
    const place = new URL(url)
    place.pathname += suffix
    try {
      return await fetch(place.href)
    } catch (error) {
      if (!isAgentError(error, 'DOWNLOAD_HTTP_STATUS')) throw error
    }
  }
  return undefined
}
