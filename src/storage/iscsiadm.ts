import { isIP } from 'node:net'
import { AgentError, isAgentError } from '../core/errors.ts'
import { run, type CommandResult } from '../platform/exec.ts'
import { portalText, type IscsiTarget } from './iscsi-target.ts'

/** Longer than two login attempts of the record (10 s each): iscsid then has an answer of its own, and nothing goes on behind the agent's back. */
const LOGIN_TIMEOUT_MS = 30_000
/** A silent target is given 15 s for its goodbye. */
const LOGOUT_TIMEOUT_MS = 25_000
const RESCAN_TIMEOUT_MS = 10_000
const RESOLVE_TIMEOUT_MS = 10_000

/** Exit codes of iscsiadm(8). */
const EXIT = {
  TRANSPORT: 4,
  TIMEOUT: 8,
  SESSION_PRESENT: 15,
  NO_DAEMON: 20,
  NO_SESSION: 21,
  FATAL_LOGIN: 19,
  DENIED: 24,
}

/** What a login attempt came to. `pending`: iscsid has, or is making, a session to the target already. */
export type LoginOutcome = 'done' | 'pending'

/**
 * Logs in to a target by its node record. Always ends within 35 s, and is not to be stopped earlier: iscsid would go on by itself. Errors: TARGET_UNKNOWN,
 * LOGIN_DENIED, SERVER_NOT_ANSWERING, COMMAND_MISSING, LOGIN_FAILED in the words of iscsiadm.
 */
export async function login(target: IscsiTarget): Promise<LoginOutcome> {
  const args = ['-m', 'node', '-T', target.name, '-p', portalText(target.portal), '--login']
  try {
    const { exitCode } = await iscsiadm(args, LOGIN_TIMEOUT_MS, [EXIT.SESSION_PRESENT])
    return exitCode === EXIT.SESSION_PRESENT ? 'pending' : 'done'
  } catch (error) {
    throw loginError(error, target)
  }
}

/** Ends a session of the kernel (`session7`); success when it is gone. SERVER_NOT_ANSWERING when the target holds it up. */
export async function logout(session: string, target: IscsiTarget): Promise<void> {
  try {
    await iscsiadm(['-m', 'session', '-r', number(session), '--logout'], LOGOUT_TIMEOUT_MS, [EXIT.NO_SESSION])
  } catch (error) {
    if (!isAgentError(error, 'DEADLINE_EXCEEDED')) throw error
    throw notAnswering(target, { cause: error })
  }
}

/** Looks for new LUNs of a session. */
export async function rescan(session: string): Promise<void> {
  await iscsiadm(['-m', 'session', '-r', number(session), '--rescan'], RESCAN_TIMEOUT_MS, [EXIT.NO_SESSION])
}

/**
 * The addresses of a host name, lower case; none for an address. Asked here, because iscsid stands still for all its sessions while it asks. SERVER_UNKNOWN.
 */
export async function addressesOf(host: string, signal: AbortSignal): Promise<string[]> {
  if (isIP(host) !== 0) return []
  const unknown = `the name of iSCSI portal ${host} cannot be resolved to an address`
  try {
    const command = {
      file: 'getent',
      args: ['ahosts', host],
      package: 'libc-bin',
      timeoutMs: RESOLVE_TIMEOUT_MS,
      okCodes: [2],
    }
    const { exitCode, stdout } = await run(command, signal)
    const addresses = new Set(stdout.split('\n').flatMap((line) => /^\S+/.exec(line.toLowerCase()) ?? []))
    if (exitCode === 0 && addresses.size > 0) return [...addresses]
  } catch (error) {
    if (!isAgentError(error, 'DEADLINE_EXCEEDED')) throw error
    throw new AgentError('SERVER_UNKNOWN', unknown, { cause: error })
  }
  throw new AgentError('SERVER_UNKNOWN', unknown)
}

/** SERVER_NOT_ANSWERING for the portal of a target. */
export function notAnswering({ portal }: IscsiTarget, options: { why?: string; cause?: unknown } = {}): AgentError {
  const why = options.why === undefined ? '' : ` (${options.why})`
  return new AgentError('SERVER_NOT_ANSWERING', `iSCSI portal ${portalText(portal)} does not answer${why}`, options)
}

function loginError(error: unknown, target: IscsiTarget): unknown {
  const portal = portalText(target.portal)
  if (isAgentError(error, 'DEADLINE_EXCEEDED')) return notAnswering(target, { cause: error })
  if (!isAgentError(error, 'COMMAND_FAILED')) return error
  switch (Number(error.details['exitCode'])) {
    case EXIT.DENIED:
      return new AgentError(
        'LOGIN_DENIED',
        `iSCSI portal ${portal} refuses the login to ${target.name}: CHAP user or password are wrong, or it does not admit this host's initiator name`,
        { cause: error },
      )
    case EXIT.FATAL_LOGIN:
      return new AgentError('TARGET_UNKNOWN', `iSCSI portal ${portal} has no target ${target.name} for this host`, {
        cause: error,
      })
    case EXIT.TRANSPORT:
    case EXIT.TIMEOUT:
      return notAnswering(target, { cause: error })
    case EXIT.NO_DAEMON:
      return new AgentError(
        'LOGIN_FAILED',
        'iscsid does not run and could not be started; see systemctl status iscsid',
        {
          cause: error,
        },
      )
    default:
      return new AgentError('LOGIN_FAILED', `the login to ${target.name} at ${portal} failed: ${error.message}`, {
        cause: error,
      })
  }
}

function iscsiadm(args: readonly string[], timeoutMs: number, okCodes: readonly number[]): Promise<CommandResult> {
  return run({ file: 'iscsiadm', package: 'open-iscsi', args, timeoutMs, okCodes })
}

function number(session: string): string {
  return session.replace(/^session/, '')
}
