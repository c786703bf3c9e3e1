import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import type { Writable } from 'node:stream'
import { AgentError, errorText } from '../core/errors.ts'
import type { ByteMemory, ByteStream } from './byte-stream.ts'
import { hostConfinement } from './confine.ts'
import { environmentWithin, type Confinement } from './confinement.ts'
import { ProcessOutput } from './process-output.ts'

/** A host tool that turns bytes from stdin into bytes on stdout. */
export interface FilterCommand {
  readonly file: string
  readonly args: readonly string[]
  /** Debian package that provides `file`. */
  readonly package: string
  /** What it reads: an open file from its present position on, or bytes as they come; a piece is done with when the next one is asked for. */
  readonly input: { readonly fd: number } | AsyncIterable<Uint8Array>
  readonly maxMemoryBytes: number
}

const STDERR_TAIL = 600
/** A filter that a systemd service is ends by this itself, should nobody live to end it. */
const MAX_TIME_MS = 24 * 60 * 60_000

/**
 * Runs a filter on bytes nobody vouches for, as fast as its output is taken: as nobody, without capabilities, network or other files than programs (as this host lets the agent confine it), with limits of memory and files,
 * ended with this process. It starts when the first piece is asked for. Give up the iteration to end it. Errors, at the end of the bytes: COMMAND_FAILED (exit code, end of stderr), COMMAND_MISSING, what `input` throws,
 * the abort reason.
 */
export function runFilter(
  command: FilterCommand,
  signal: AbortSignal,
  confinement?: Confinement,
): Required<ByteStream> {
  let output: ProcessOutput | undefined
  let target: ByteMemory | undefined
  const onOpen = (opened: ProcessOutput) => {
    output = opened
    if (target !== undefined) output.divert(target)
  }
  const bytes = outputOf(command, onOpen, signal, confinement)
  return {
    [Symbol.asyncIterator]: () => bytes,
    pour: async (memory) => {
      target = memory
      output?.divert(memory)
      for await (const _ of bytes) void _
    },
  }
}

async function* outputOf(
  command: FilterCommand,
  onOpen: (output: ProcessOutput) => void,
  signal: AbortSignal,
  confinement?: Confinement,
): AsyncGenerator<Buffer> {
  const cage = confinement ?? (await hostConfinement())
  const output = await ProcessOutput.open()
  onOpen(output)
  if (signal.aborted) output.close()
  signal.throwIfAborted()
  const { input } = command
  const id = randomUUID()
  const env = { LC_ALL: 'C', ...environmentWithin(command.maxMemoryBytes) }
  const { file, args } = cage.wrap(
    { ...command, input: '', env, timeoutMs: MAX_TIME_MS },
    NOTHING,
    limitsOf(command),
    id,
  )
  const child = spawn(file, args, {
    stdio: ['fd' in input ? input.fd : 'pipe', output.theirs, 'pipe'],
    // Only what nobody can run, too.
    env: { ...env, PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' },
  })
  output.theirs.destroy()
  let stopped: Promise<unknown> | undefined
  const stop = () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    stopped ??= Promise.resolve(cage.stop?.(id)).catch(() => undefined)
  }
  const giveUp = () => {
    // Nobody may have space for what is there.
    output.close()
    stop()
  }
  signal.addEventListener('abort', giveUp, { once: true })
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-STDERR_TAIL)))
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(errorText(error)))
    child.once('close', (code, name) => resolve(code ?? name ?? 'an unknown cause'))
  })
  const fed = 'fd' in input || child.stdin === null ? Promise.resolve(undefined) : feed(input, child.stdin)
  try {
    yield* output.bytes
    const end = await ended
    // It has left by itself.
    stopped ??= Promise.resolve()
    signal.throwIfAborted()
    // What went wrong in front of the tool is the cause of what it says.
    const failure = await fed
    if (failure !== undefined) throw failure
    if (end !== 0) throw failed(command, end, stderr)
  } finally {
    signal.removeEventListener('abort', giveUp)
    output.close()
    stop()
    await Promise.all([ended, stopped])
  }
}

// Resolves with what the source of the bytes threw. That the tool takes no more is told by its exit code. Each piece is waited for: its memory may be used again.
async function feed(input: AsyncIterable<Uint8Array>, stdin: Writable): Promise<Error | undefined> {
  let open = true
  let goOn: () => void = () => undefined
  const shut = () => {
    open = false
    goOn()
  }
  stdin.on('error', shut)
  stdin.on('close', shut)
  try {
    for await (const chunk of input) {
      if (!open) return undefined
      await new Promise<void>((resolve) => {
        goOn = resolve
        // Once it has failed it is not asked again: events that tell so come later than the next turn of this loop.
        stdin.write(chunk, (error) => (error instanceof Error ? shut() : resolve()))
      })
    }
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  } finally {
    stdin.end()
  }
}

const NOTHING = { reads: [], writes: [], asNobody: true }

// Options of prlimit(1).
function limitsOf({ maxMemoryBytes }: FilterCommand): string[] {
  return [`--as=${maxMemoryBytes}`, '--fsize=0', '--nofile=16', '--core=0']
}

function failed({ file, package: debianPackage }: FilterCommand, end: number | string, stderr: string): AgentError {
  const text = stderr.trim().replace(/\s+/g, ' ')
  if (
    /(failed to execute|execvp) \S+: No such file|Failed to find executable/i.test(text) ||
    (typeof end === 'string' && end.includes('ENOENT'))
  ) {
    return new AgentError('COMMAND_MISSING', `${file} is not installed; install the Debian package ${debianPackage}`)
  }
  const how = typeof end === 'number' ? `ended with exit code ${end}` : `was ended by ${end}`
  return new AgentError('COMMAND_FAILED', `${file} ${how}: ${text || '(no message)'}`, { details: { command: file } })
}
