import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { stringify } from 'yaml'

/** A real agent of this checkout in a process of its own, with its own state directory and ports. */
export interface AgentProcess {
  readonly pid: number
  readonly grpcAddress: string
  readonly httpUrl: string
  readonly stateDir: string
  readonly configFile: string
  /** Everything it logged so far, one parsed JSON line each. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** Resolves with exit code or signal name when it has ended. */
  readonly exited: Promise<number | string>
  kill(signal: NodeJS.Signals): void
  /** SIGTERM and wait. */
  stop(): Promise<number | string>
}

export interface AgentOptions {
  /** Directory for state and configuration; created. */
  readonly directory: string
  /** Merged over the defaults (ports 0 on loopback). */
  readonly config?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string>>
  /** The launcher; that of this checkout unless given. */
  readonly program?: string
  /** Where to copy the log. */
  readonly logFile?: string
  readonly timeoutMs?: number
}

const PROGRAM = path.join(import.meta.dirname, '..', '..', 'bin', 'limiquantix-node')

/** Starts an agent and waits until it serves; the error carries the end of its log. */
export async function startAgent(options: AgentOptions): Promise<AgentProcess> {
  const stateDir = path.join(options.directory, 'state')
  const configFile = path.join(options.directory, 'node.yaml')
  // QEMU runs as another user and has to reach disks and seeds below.
  await mkdir(options.directory, { recursive: true, mode: 0o711 })
  await writeFile(configFile, stringify(agentConfig(stateDir, options.config ?? {})))
  const child = spawn(options.program ?? PROGRAM, ['serve', '--config', configFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  const log: Record<string, unknown>[] = []
  const raw: string[] = []
  const copy = options.logFile === undefined ? undefined : createWriteStream(options.logFile, { flags: 'a' })
  const serving = Promise.withResolvers<Record<string, unknown>>()
  const onLine = (line: string) => {
    raw.push(line)
    copy?.write(`${line}\n`)
    const entry = parseLine(line)
    if (entry === undefined) return
    log.push(entry)
    if (entry['msg'] === 'serving') serving.resolve(entry)
  }
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', onLine)
  const exited = once(child, 'exit').then(([code, signal]) => (signal ?? code) as number | string)
  const fail = (why: string) => new Error(`the agent ${why}:\n${raw.slice(-15).join('\n')}`)
  const timeoutMs = options.timeoutMs ?? 60_000
  const timer = setTimeout(() => serving.reject(fail(`did not serve within ${timeoutMs / 1000} s`)), timeoutMs)
  void exited.then((how) => serving.reject(fail(`ended (${how}) before it served`)))
  const entry = await serving.promise
    .finally(() => clearTimeout(timer))
    .catch((error: unknown) => {
      child.kill('SIGKILL')
      throw error
    })
  return {
    pid: pidOf(child),
    grpcAddress: String(entry['grpc']),
    httpUrl: `http://${String(entry['http'])}`,
    stateDir,
    configFile,
    log,
    exited,
    kill: (signal) => void child.kill(signal),
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
  }
}

function agentConfig(stateDir: string, config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    paths: { state_dir: stateDir },
    server: { listen_address: '127.0.0.1:0', http: { listen_address: '127.0.0.1:0' } },
    ...config,
  }
}

function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    // Not ours: a warning of Node, kept in the raw text.
    return undefined
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the agent could not be started')
  return child.pid
}
