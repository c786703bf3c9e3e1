import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import type { Reason } from '../core/reasons.ts'

const REASON_OF: Readonly<Record<string, Reason>> = {
  ENOSPC: 'POOL_FULL',
  EDQUOT: 'POOL_FULL',
  EROFS: 'POOL_NOT_WRITABLE',
  EACCES: 'POOL_NOT_WRITABLE',
  EPERM: 'POOL_NOT_WRITABLE',
}

/** A file system error at `where` as POOL_FULL, POOL_NOT_WRITABLE or POOL_IO_ERROR; AgentErrors and non-system errors pass unchanged. */
export function poolIoError(error: unknown, where: string): unknown {
  if (isAgentError(error) || !(error instanceof Error) || !('code' in error) || !('errno' in error)) return error
  const code = String(error.code)
  const reason = REASON_OF[code] ?? 'POOL_IO_ERROR'
  const hint = reason === 'POOL_FULL' ? '; free or add space' : ''
  return new AgentError(reason, `writing ${where} failed with ${code}${hint}`, {
    details: { errno: code },
    cause: new Error(errorText(error)),
  })
}
