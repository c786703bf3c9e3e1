import path from 'node:path'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { DownloadRequest } from '../../core/model.ts'
import { parseFetchUrl, type FetchPolicy } from '../../platform/fetch-policy.ts'
import { parseChecksum, type Checksum } from '../verify.ts'

/** What proves an image, weakest first. */
export type ProofLevel = 'none' | 'checksum' | 'signature'

/** Which proof an image needs, from the configuration. */
export interface ProofPolicy {
  readonly require: ProofLevel
  /** By pool id; wins over `require`. */
  readonly requireByPool: Readonly<Record<string, ProofLevel>>
}

/** What a request gives as proof, as the operation persists it. */
export interface ProofRequest {
  readonly level: ProofLevel
  /** Of the bytes of the source. */
  readonly checksum?: Checksum
  /** Of the disk image inside, before it is converted. */
  readonly finalChecksum?: Checksum
  readonly sums?: {
    readonly url: string
    /** Name of the entry: the last segment of the image's URL. */
    readonly file: string
    readonly signatureUrl?: string
  }
}

/** The fields of a request that prove something. */
export type ProofFields = Pick<
  DownloadRequest,
  'checksum' | 'checksumType' | 'checksumUrl' | 'signatureUrl' | 'finalChecksum'
>

/** The least proof for an image in `poolId` ('' = none). */
export function requiredProof(policy: ProofPolicy, poolId: string): ProofLevel {
  return Object.hasOwn(policy.requireByPool, poolId) ? (policy.requireByPool[poolId] ?? policy.require) : policy.require
}

/**
 * The proof a request gives for `file`, which must reach `level`: a checksum of the source or of the image inside, or the URL of sums (in `checksum` or `checksumUrl`); `signature` needs sums. Errors:
 * CHECKSUM_INVALID, URL_REFUSED, PROOF_REQUIRED.
 */
export function parseProof(fields: ProofFields, file: string, level: ProofLevel, policy: FetchPolicy): ProofRequest {
  const isUrl = /^https?:\/\//i.test(fields.checksum.trim())
  const checksum = isUrl ? undefined : parseChecksum(fields.checksum, fields.checksumType)
  const finalChecksum = parseChecksum(fields.finalChecksum ?? '')
  const urls = new Set([isUrl ? fields.checksum.trim() : '', fields.checksumUrl?.trim() ?? ''].filter(Boolean))
  if (urls.size > 1) throw invalid('checksum and checksumUrl are different sums files; give one')
  const [url] = urls
  const signatureUrl = fields.signatureUrl?.trim() ?? ''
  if (signatureUrl !== '' && url === undefined) throw invalid('signatureUrl signs a sums file; give checksumUrl too')
  const proof = {
    level,
    ...(checksum === undefined ? {} : { checksum }),
    ...(finalChecksum === undefined ? {} : { finalChecksum }),
    ...(url === undefined
      ? {}
      : {
          sums: {
            url: parseFetchUrl(url, policy).href,
            file,
            ...(signatureUrl === '' ? {} : { signatureUrl: parseFetchUrl(signatureUrl, policy).href }),
          },
        }),
  }
  if (level === 'checksum' && checksum === undefined && finalChecksum === undefined && url === undefined) {
    throw required(`no ${quote(file)} without a checksum: give checksum or checksumUrl`)
  }
  if (level === 'signature' && url === undefined) {
    throw required(
      `no ${quote(file)} without a signature: give checksumUrl of signed sums, and signatureUrl if it is detached`,
    )
  }
  return proof
}

/** The last segment of a URL's path, decoded: the name its publisher gives the file. */
export function publishedName(url: URL): string {
  const segment = path.posix.basename(url.pathname)
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function invalid(text: string): AgentError {
  return new AgentError('CHECKSUM_INVALID', text)
}

function required(text: string): AgentError {
  return new AgentError('PROOF_REQUIRED', `images.require allows ${text}`)
}
