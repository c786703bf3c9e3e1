import type { Validators } from '../platform/http-answer.ts'
import type { OpenDownload } from '../platform/http-fetch.ts'

/** What is known of the content that the bytes so far are part of; kept in the journal. */
export interface SourceContent {
  /** Index of the URL it came from. */
  readonly source: number
  /** Where its redirects led, with query. */
  readonly location: string
  readonly finalUrl: string
  readonly totalLength?: number
  readonly validators: Validators
}

/** Whether two answers are of one content; `unknown` when nothing tells. */
export type Agreement = 'yes' | 'no' | 'unknown'

/** Whether an answer of the source with the index `source` is of the content known so far. Validators of one server say nothing about another one's. */
export function agrees(before: SourceContent, { validators, totalLength }: OpenDownload, source: number): Agreement {
  const sizes = [before.totalLength, totalLength]
  if (sizes[0] !== undefined && sizes[1] !== undefined && sizes[0] !== sizes[1]) return 'no'
  if (before.source !== source) return 'unknown'
  for (const name of ['etag', 'lastModified'] as const) {
    const [old, now] = [before.validators[name], validators[name]]
    if (old !== undefined && now !== undefined) return old === now ? 'yes' : 'no'
  }
  return 'unknown'
}
