import { AgentError, toAgentError } from '../core/errors.ts'

/** One run of a host tool. Secrets never go here as arguments: give them by `input` or a 0600 file. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
  /** Debian package that provides `file`, for the error text. */
  readonly package?: string
  /** Written to stdin, which is otherwise /dev/null. */
  readonly input?: string | Uint8Array
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /** Exit codes that are results rather than errors (0 always is). */
  readonly okCodes?: readonly number[]
  /** Cap per stream; more output ends the command with COMMAND_FAILED. */
  readonly maxOutputBytes?: number
  /** How long it gets after TERM to end in order before KILL. Default 2 s; more for tools that must not be cut in the middle and hold TERM back there. */
  readonly killGraceMs?: number
  /** What errors call it, when `file` only starts the tool that is meant. Default: the name of the file. */
  readonly name?: string
  /** Gets what it prints to stdout, as it comes; progress reports. */
  readonly onOutput?: (text: string) => void
}

export interface CommandResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

const KILL_GRACE_MS = 2_000
const STDERR_TAIL = 600

/**
 * Runs a host tool without a shell, in its own process group, with LC_ALL=C. At the deadline or when `signal` fires the whole group gets
 * TERM and 2 s later KILL. Errors: COMMAND_MISSING, COMMAND_FAILED (exit code and end of stderr), COMMAND_STUCK (it survives KILL; `pid` in the details), DEADLINE_EXCEEDED,
 * CANCELLED.
 */
export async function run(command: Command, signal?: AbortSignal): Promise<CommandResult> {
  // execa is loaded at the first use: an idle agent runs no tool, and start-up time counts.
  const { execa } = await import('execa')
  if (signal?.aborted) throw toAgentError(signal.reason)
  const child = execa(command.file, [...command.args], {
    detached: true,
    cleanup: false,
    reject: false,
    stripFinalNewline: false,
    maxBuffer: command.maxOutputBytes ?? 16 * 1024 * 1024,
    env: { LC_ALL: 'C', ...command.env },
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.input === undefined ? { stdin: 'ignore' as const } : { input: command.input }),
  })
  const { onOutput } = command
  if (onOutput !== undefined) child.stdout?.on('data', (chunk: Buffer) => onOutput(chunk.toString()))
  const ended = superviseGroup(child.pid, command, signal)
  const result = await Promise.race([child, ended.abandoned])
  const why = ended.settle()
  const name = command.name ?? command.file.split('/').at(-1)
  if (result === undefined) {
    // It is left behind: waiting for it would hold up, and keep locked, what can go on without it.
    throw new AgentError(
      'COMMAND_STUCK',
      `${name} does not end although it was killed: it hangs in the kernel, as on a file system whose server is gone`,
      { details: { command: String(name), pid: String(child.pid) } },
    )
  }
  if (result.code === 'ENOENT') {
    const hint = command.package ? `; install the Debian package ${command.package}` : ''
    throw new AgentError('COMMAND_MISSING', `${name} is not installed${hint}`)
  }
  if (why === 'deadline') {
    throw new AgentError(
      'DEADLINE_EXCEEDED',
      `${name} did not finish within ${command.timeoutMs / 1000} s and was killed`,
    )
  }
  if (why === 'aborted') throw toAgentError(signal?.reason)
  const stderr = String(result.stderr ?? '')
  if (result.isMaxBuffer) throw new AgentError('COMMAND_FAILED', `${name} printed more than the agent accepts`)
  if (result.exitCode === undefined) {
    throw new AgentError(
      'COMMAND_FAILED',
      `${name} was ended by ${result.signal ?? 'an unknown cause'}: ${tail(stderr)}`,
    )
  }
  if (result.exitCode !== 0 && !command.okCodes?.includes(result.exitCode)) {
    throw new AgentError('COMMAND_FAILED', `${name} ended with exit code ${result.exitCode}: ${tail(stderr)}`, {
      details: { command: String(name), exitCode: String(result.exitCode) },
    })
  }
  return { exitCode: result.exitCode, stdout: String(result.stdout ?? ''), stderr }
}

type End = 'self' | 'deadline' | 'aborted'

// Watches a running process group until `settle` is called, which tells why it ended.
function superviseGroup(
  pid: number | undefined,
  { timeoutMs, killGraceMs = KILL_GRACE_MS }: Command,
  signal: AbortSignal | undefined,
): { readonly abandoned: Promise<undefined>; settle(): End } {
  let why: End = 'self'
  let killTimer: NodeJS.Timeout | undefined
  const { promise: abandoned, resolve: abandon } = Promise.withResolvers<undefined>()
  const stop = (reason: End) => {
    if (why !== 'self') return
    why = reason
    signalGroup(pid, 'SIGTERM')
    killTimer = setTimeout(() => {
      signalGroup(pid, 'SIGKILL')
      killTimer = setTimeout(() => abandon(undefined), KILL_GRACE_MS)
    }, killGraceMs)
  }
  const deadline = setTimeout(() => stop('deadline'), timeoutMs)
  const onAbort = () => stop('aborted')
  signal?.addEventListener('abort', onAbort, { once: true })
  return {
    abandoned,
    settle() {
      clearTimeout(deadline)
      clearTimeout(killTimer)
      signal?.removeEventListener('abort', onAbort)
      // Grandchildren may still hold on after the leader is gone.
      if (why !== 'self') signalGroup(pid, 'SIGKILL')
      return why
    },
  }
}

function signalGroup(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function tail(stderr: string): string {
  const text = stderr.trim().replace(/\s+/g, ' ')
  return text.length > STDERR_TAIL ? `...${text.slice(-STDERR_TAIL)}` : text || '(no message)'
}
