import { randomUUID } from 'node:crypto'
import { AgentError, isAgentError } from '../core/errors.ts'
import { confinedByBubblewrap } from './confine-bubblewrap.ts'
import { confinedBySystemd } from './confine-systemd.ts'
import {
  environmentWithin,
  NOBODY_ID,
  type Confinement,
  type ConfinementKind,
  type ToolAccess,
  type ToolLimits,
} from './confinement.ts'
import { run, type Command, type CommandResult } from './exec.ts'

/** A host tool that is given bytes nobody vouches for. */
export interface ConfinedCommand extends Omit<Command, 'args' | 'name'> {
  /** `inside` tells by which path the tool reaches a path of `access`. */
  readonly args: (inside: (path: string) => string) => readonly string[]
  readonly access: ToolAccess
  readonly limits: ToolLimits
}

const PROBE_TIMEOUT_MS = 10_000
const MAX_OPEN_FILES = 256
const TOOLS: readonly Confinement[] = [confinedByBubblewrap, confinedBySystemd]

const AS_NOBODY = ['--reuid', NOBODY_ID, '--regid', NOBODY_ID, '--clear-groups', '--bounding-set', '-all']

/** Limits alone. It dies with the thread that started it, like the others. */
const rlimits: Confinement = {
  kind: 'rlimits',
  possible: () => Promise.resolve(true),
  inside: (path) => path,
  wrap: (command, { asNobody = false }, limits) => ({
    ...command,
    file: 'setpriv',
    args: [
      ...['--pdeathsig', 'KILL', '--no-new-privs', ...(asNobody && process.getuid?.() === 0 ? AS_NOBODY : [])],
      ...['--', 'prlimit', ...limits, '--', command.file, ...command.args],
    ],
    package: 'util-linux',
  }),
}

let detected: Promise<Confinement> | undefined

/** How tools are confined on this host; found out at the first call, by trying, and kept. */
export async function hostConfinement(): Promise<Confinement> {
  detected ??= detect()
  return detected
}

/** Every way that works on this host, the best first. */
export async function workingConfinements(): Promise<Confinement[]> {
  const works = await Promise.all(TOOLS.map(tryOut))
  return [...TOOLS.filter((_, index) => works[index]), rlimits]
}

/**
 * Runs a tool with nothing but the files it is told of: without other files, without network unless it is given that, with limits of memory, time and size; it ends when the agent does. Errors: those of `run`,
 * naming the tool itself.
 */
export async function runConfined(
  confined: ConfinedCommand,
  signal?: AbortSignal,
  confinement?: Confinement,
): Promise<CommandResult & { readonly confinement: ConfinementKind }> {
  const cage = confinement ?? (await hostConfinement())
  const { access, limits, args, ...rest } = confined
  const paths = [...access.reads, ...access.writes]
  const inside = (path: string) => cage.inside(path, paths.indexOf(path))
  const env = { ...environmentWithin(limits.addressSpaceBytes), ...rest.env }
  const command = { ...rest, name: confined.file, args: args(inside), env }
  const id = randomUUID()
  const ending = endAtDeadline(confined, () => cage.stop?.(id), signal)
  try {
    const wrapped = cage.wrap(command, access, limitArgs(limits), id)
    // The deadline is that of `ending`; this one only has to come later.
    const result = await run({ ...wrapped, timeoutMs: confined.timeoutMs * 2 + 1_000 }, ending.signal)
    return { ...result, confinement: cage.kind }
  } catch (error) {
    throw isAgentError(error, 'COMMAND_FAILED') ? asSeenOutside(error, confined, paths, inside) : error
  } finally {
    await ending.settled()
  }
}

/**
 * A signal that fires at the deadline, or with `signal`. `stop` is called right after: what runs elsewhere holds on to our pipes, and so would not end with what we started. `settled` ends
 * the waiting, and waits until a stop is done.
 */
function endAtDeadline(
  { file, timeoutMs }: ConfinedCommand,
  stop: () => Promise<unknown> | undefined,
  signal: AbortSignal | undefined,
) {
  const ending = new AbortController()
  let stopped: Promise<unknown> | undefined
  const end = (reason: unknown) => {
    ending.abort(reason)
    // What cannot be stopped ends by its own limit of time; the caller needs the first error.
    stopped ??= Promise.resolve(stop()).catch(() => undefined)
  }
  const text = `${file} did not finish within ${timeoutMs / 1000} s and was killed`
  const timer = setTimeout(() => end(new AgentError('DEADLINE_EXCEEDED', text)), timeoutMs)
  const onAbort = () => end(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted === true) ending.abort(signal.reason)
  return {
    signal: ending.signal,
    async settled() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      await stopped
    },
  }
}

async function detect(): Promise<Confinement> {
  for (const tool of TOOLS) if (await tryOut(tool)) return tool
  return rlimits
}

// It must show the tool a file of this host.
async function tryOut(cage: Confinement): Promise<boolean> {
  if (!(await cage.possible())) return false
  const file = process.execPath
  const probe = { file: 'test', args: ['-s', cage.inside(file, 0)], timeoutMs: PROBE_TIMEOUT_MS }
  const limits = limitArgs({ addressSpaceBytes: 2 ** 30, cpuSeconds: 10, fileBytes: 2 ** 20 })
  try {
    await run(cage.wrap(probe, { reads: [file], writes: [] }, limits, randomUUID()))
    return true
  } catch (error) {
    if (isAgentError(error)) return false
    throw error
  }
}

// Options of prlimit(1).
function limitArgs({ addressSpaceBytes, cpuSeconds, fileBytes, openFiles = MAX_OPEN_FILES }: ToolLimits): string[] {
  return [
    `--as=${addressSpaceBytes}`,
    `--cpu=${cpuSeconds}`,
    `--fsize=${fileBytes}`,
    `--nofile=${openFiles}`,
    '--core=0',
  ]
}

// The reader knows neither the paths inside nor what is in front of the tool.
function asSeenOutside(
  error: AgentError,
  { file, package: debianPackage }: ConfinedCommand,
  paths: readonly string[],
  inside: (path: string) => string,
): AgentError {
  const missing = /(failed to execute|execvp|Failed to (locate|find) executable) \S*: No such file/i
  if (missing.test(error.message)) {
    const hint = debianPackage === undefined ? '' : `; install the Debian package ${debianPackage}`
    return new AgentError('COMMAND_MISSING', `${file} is not installed${hint}`, { cause: error })
  }
  const message = paths.reduce((text, path) => text.replaceAll(inside(path), path), error.message)
  return new AgentError(error.reason, message, { cause: error, details: error.details })
}
