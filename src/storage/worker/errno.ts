import { constants } from 'node:os'
import { AgentError, toAgentError } from '../../core/errors.ts'
import type { Reason } from '../../core/reasons.ts'

const BY_ERRNO: Readonly<Record<string, readonly [Reason, string]>> = {
  ENOENT: ['FILE_NOT_FOUND', 'it is missing'],
  ENOTDIR: ['FILE_NOT_DIRECTORY', 'a component of it is not a directory'],
  ENOSPC: ['POOL_FULL', 'the pool is full; free or add space'],
  EDQUOT: ['POOL_FULL', 'the quota of the pool is used up; free space or raise the quota'],
  EROFS: ['POOL_NOT_WRITABLE', 'the file system is mounted read-only'],
  EACCES: ['POOL_NOT_WRITABLE', 'permission denied; check the permissions and mount options of the pool'],
  EPERM: ['POOL_NOT_WRITABLE', 'not permitted; check the permissions and attributes of the file'],
  ENAMETOOLONG: ['INVALID_PATH', 'a component of it is too long'],
  ENOTEMPTY: ['DIRECTORY_NOT_EMPTY', 'the directory is not empty; delete what is in it first'],
  EBUSY: ['FILE_IN_USE', 'it is in use, or something is mounted on it'],
  ESTALE: ['POOL_STALE', 'the server no longer knows the mounted directory'],
  ETIMEDOUT: ['SERVER_NOT_ANSWERING', 'the server of the pool does not answer'],
  ECONNREFUSED: ['SERVER_NOT_ANSWERING', 'the server of the pool refuses connections'],
  EHOSTUNREACH: ['SERVER_NOT_ANSWERING', 'the server of the pool cannot be reached'],
  ENETUNREACH: ['SERVER_NOT_ANSWERING', 'the server of the pool cannot be reached'],
  EHOSTDOWN: ['SERVER_NOT_ANSWERING', 'the server of the pool cannot be reached'],
}

/** errno of a failed system call, or undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  if (!error.code.startsWith('Unknown system error')) return error.code
  // libuv has no names for ESTALE, EDQUOT and a few others.
  const number = 'errno' in error ? Math.abs(Number(error.errno)) : 0
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? error.code
}

/** A failed system call on `what` as an AgentError; AgentErrors pass through. Unlisted errnos are POOL_IO_ERROR with their name. */
export function poolError(error: unknown, what: string): AgentError {
  const errno = errnoOf(error)
  if (error instanceof AgentError || errno === undefined) return toAgentError(error)
  const known = BY_ERRNO[errno]
  if (known !== undefined) {
    return new AgentError(known[0], `${what}: ${known[1]}`, { cause: error, details: { errno } })
  }
  return new AgentError('POOL_IO_ERROR', `${what}: the file system answered ${errno}; see the kernel log`, {
    cause: error,
    details: { errno },
  })
}
