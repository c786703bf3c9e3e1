import { formatBytes } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'

/** A pool or directory that took no more, and its space as it is now. */
export interface FullPlace {
  /** With what it is: `pool images`, `directory /srv/iso`. */
  readonly name: string
  /** What holds the bytes, where that is not the place itself. */
  readonly holder?: string
  readonly usedBytes: number
  readonly availableBytes: number
  /** Absent where usage has no such limit. */
  readonly totalBytes?: number
  readonly quotaBytes?: number
  /** What to do besides deleting something. */
  readonly remedy?: string
}

/** The write that failed. */
export interface FailedWrite {
  /** With what it is: `volume web-1`. */
  readonly what: string
  /** The least that is known of it; absent when nothing is. */
  readonly neededBytes?: number
}

/** The error for a place that became full while something was written to it, with the numbers: the one owner of its text. */
export function poolFull(place: FullPlace, { what, neededBytes }: FailedWrite, cause?: unknown): AgentError {
  const { name, holder = 'it', usedBytes, availableBytes, totalBytes, quotaBytes } = place
  const { errno, keptBytes } = isAgentError(cause) ? cause.details : {}
  // Of a quota that the file system keeps nothing tells how large it is.
  const isQuota = errno === 'EDQUOT'
  const limit = quotaBytes === undefined ? totalBytes : quotaBytes
  const holds = [
    `${isQuota ? 'its quota is used up; ' : ''}${holder} holds ${formatBytes(usedBytes)}`,
    ...(limit === undefined ? [] : [`of ${quotaBytes === undefined ? '' : 'its quota of '}${formatBytes(limit)}`]),
  ].join(' ')
  const kept = keptBytes === undefined ? '' : ` with the last ${formatBytes(Number(keptBytes))} kept for guests`
  const needs =
    neededBytes !== undefined && neededBytes > availableBytes ? `needs ${formatBytes(neededBytes)}` : 'needs more'
  const { remedy = isQuota ? 'raise the quota' : 'add space to it' } = place
  return new AgentError(
    'POOL_FULL',
    `${name} is full: ${holds}, ${formatBytes(availableBytes)} are left${kept}, and ${what} ${needs}; free space, or ${remedy}`,
    {
      cause,
      details: {
        usedBytes: String(usedBytes),
        availableBytes: String(availableBytes),
        ...(neededBytes === undefined ? {} : { neededBytes: String(neededBytes) }),
        ...(totalBytes === undefined ? {} : { totalBytes: String(totalBytes) }),
        ...(quotaBytes === undefined ? {} : { quotaBytes: String(quotaBytes) }),
      },
    },
  )
}

/** A POOL_FULL without numbers with those that `look` finds. Any other error, one that has numbers, and one of a place that cannot be looked at, as it is. */
export async function withNumbers(
  error: unknown,
  look: () => Promise<readonly [FullPlace, FailedWrite]>,
  { log }: Pick<OpContext, 'log'>,
): Promise<unknown> {
  if (!isAgentError(error, 'POOL_FULL') || error.details['availableBytes'] !== undefined) return error
  try {
    return poolFull(...(await look()), error)
  } catch (failure) {
    log.debug({ err: errorText(failure) }, 'the space of a full pool cannot be told')
    return error
  }
}
