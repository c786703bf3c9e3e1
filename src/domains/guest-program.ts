import type { OpContext } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import type { GuestAgent, GuestCommandResult } from './guest-agent.ts'

/**
 * Runs a program (no shell) in a guest of any kind and waits for its end, at most `timeoutMs`. Each stream is cut at MAX_OUTPUT_BYTES: in the guest where that has a POSIX shell, else here, as in Windows. Errors: those of GuestAgent; in
 * a guest with a shell a program that is not there is exit code 127.
 */
export async function runInGuest(
  agent: GuestAgent,
  program: string,
  args: readonly string[],
  timeoutMs: number,
  ctx: OpContext,
): Promise<GuestCommandResult> {
  if (await isWindowsGuest(agent, ctx)) return agent.exec(program, args, timeoutMs, ctx)
  try {
    return await agent.run(program, args, timeoutMs, ctx)
  } catch (error) {
    // Old agents of Windows do not say what they run in, and some guests have no shell. Only what was not started is run another way.
    if (!isNotStarted(error)) throw error
    return agent.exec(program, args, timeoutMs, ctx)
  }
}

/** Whether a guest is Windows by its own word; one that does not say what it is has a shell, most likely. Errors: those of GuestAgent. */
export async function isWindowsGuest(agent: GuestAgent, ctx: OpContext): Promise<boolean> {
  try {
    return (await agent.osInfo(ctx)).id === 'mswindows'
  } catch (error) {
    if (isAgentError(error, 'GUEST_AGENT_REFUSED')) return false
    throw error
  }
}

function isNotStarted(error: unknown): boolean {
  if (!isAgentError(error, 'GUEST_AGENT_REFUSED')) return false
  return error.details['cause'] === 'error' && error.details['command'] === 'guest-exec'
}
