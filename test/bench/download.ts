import { execFile, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { startAgent, type AgentProcess } from '../support/agent-process.ts'
import { median, printTable, treeUsage, verdict } from './measure.ts'

const exec = promisify(execFile)
const ROUNDS = 3
/** Looking costs whom it looks at: maps of memory most of all, which take milliseconds of the kernel for each process. */
const SAMPLE_MS = 200
const SAMPLES_PER_PSS = 5
const POLL_MS = 50

export interface DownloadBench {
  /** An agent that allows private addresses; `directory` is below one of its allowed directories. */
  readonly agent: AgentProcess
  /** All contenders write here. */
  readonly directory: string
  readonly sizeBytes: number
  /** Default 3. */
  readonly rounds?: number
}

/** What one contender needed for one file. */
export interface Run {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakRssBytes: number
  /** Peak of a single process. */
  readonly peakLargestBytes: number
  /** Like RSS, with pages that several processes share (the runtime's text) divided among them: the sum is real memory. */
  readonly peakPssBytes: number
}

/** An image on a server. */
export interface Source {
  readonly url: string
  readonly sha256: string
}

type Contender = (source: Source, file: string) => Promise<Run>

/**
 * One image over loopback: the agent's job (checksum verified, durable, inspected, published; from the POST to the completed status) beside curl writing the same file and curl piped into
 * sha256sum. Same server, same file system, interleaved rounds; what is still dirty is written out between them.
 */
export async function benchDownload(bench: DownloadBench): Promise<void> {
  await mkdir(bench.directory, { recursive: true })
  const server = fork(path.join(import.meta.dirname, 'image-source.ts'), [String(bench.sizeBytes)])
  const [source] = (await once(server, 'message')) as [Source]
  const contenders: [name: string, run: Contender][] = [
    ['curl -o', (s, file) => shell(`curl -sf -o "$1" "$0"`, s, file)],
    ['curl -o, then sync of the file', (s, file) => shell(`curl -sf -o "$1" "$0" && sync "$1"`, s, file)],
    ['wget -O', (s, file) => shell(`wget -qO "$1" "$0"`, s, file)],
    ['curl | sha256sum', (s, file) => shell(`curl -sf "$0" | sha256sum`, s, file)],
    ['limiquantix-node, sha256 verified', (s, file) => agentRun(bench.agent, s, file)],
  ]
  const runs = new Map<string, Run[]>()
  try {
    for (let round = 0; round < (bench.rounds ?? ROUNDS); round++) {
      for (const [name, run] of contenders) {
        const file = path.join(bench.directory, `bench-${round}.img`)
        runs.set(name, [...(runs.get(name) ?? []), await run(source, file)])
        await rm(file, { force: true })
        await rm(path.join(bench.directory, `.${path.basename(file)}.lqx.json`), { force: true })
        await exec('sync', ['-f', bench.directory])
      }
    }
  } finally {
    server.kill()
  }
  report(
    bench.sizeBytes,
    contenders.map(([name]) => [name, runs.get(name) ?? []]),
  )
}

/** Prints runs by contender; the first one is what the others are measured by, the last one is ours. */
export function report(sizeBytes: number, results: readonly (readonly [string, readonly Run[]])[]): void {
  const seconds = (of: readonly Run[]) => median(of.map((run) => run.seconds))
  const base = seconds(results[0]?.[1] ?? [])
  const rows = results.map(([name, of], index) => {
    const ours = index === results.length - 1
    const ratio = base / seconds(of)
    const rss = Math.max(...of.map((run) => run.peakRssBytes)) / 2 ** 20
    const largest = Math.max(...of.map((run) => run.peakLargestBytes)) / 2 ** 20
    const pss = Math.max(...of.map((run) => run.peakPssBytes)) / 2 ** 20
    return [
      name,
      seconds(of).toFixed(2),
      (sizeBytes / 2 ** 20 / seconds(of)).toFixed(0),
      median(of.map((run) => run.cpuSeconds)).toFixed(2),
      rss.toFixed(0),
      largest.toFixed(0),
      pss.toFixed(0),
      ratio.toFixed(2),
      ours ? '>= 1.00, RSS <= 150 MiB' : '',
      ours ? `${verdict(ratio >= 1)}, ${verdict(rss <= 150)}` : '',
    ]
  })
  printTable(
    `download of ${(sizeBytes / 2 ** 30).toFixed(1)} GiB over loopback, median of ${results[0]?.[1].length} interleaved rounds (memory: highest sum over all processes; largest: of one process)`,
    ['', 'seconds', 'MiB/s', 'CPU s', 'RSS MiB', 'largest', 'PSS MiB', 'x curl -o', 'target', ''],
    rows,
  )
}

/** Runs a script of bash with the URL as $0 and the file as $1. */
export async function shell(script: string, source: Source, file: string): Promise<Run> {
  const child = spawn('bash', ['-c', `TIMEFORMAT='%R %U %S'; time { ${script}; }`, source.url, file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const usage = watchUsage(child.pid ?? 0)
  const [code] = (await once(child, 'close')) as [number]
  const { peakRssBytes, peakLargestBytes, peakPssBytes } = usage.stop()
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${stderr}`)
  const [real = NaN, user = NaN, system = NaN] = stderr.trim().split(/\s+/).map(Number)
  return { seconds: real, cpuSeconds: user + system, peakRssBytes, peakLargestBytes, peakPssBytes }
}

/** Runs a job of the agent from the POST to the completed status. */
export async function agentRun(agent: AgentProcess, source: Source, file: string, change: object = {}): Promise<Run> {
  const usage = watchUsage(agent.pid)
  const seconds = await agentSeconds(agent, source, file, change)
  return { seconds, ...usage.stop() }
}

/** The same without looking at what it uses, which costs the processes that are looked at. */
export async function agentSeconds(
  agent: AgentProcess,
  source: Source,
  file: string,
  change: object = {},
): Promise<number> {
  const started = performance.now()
  const posted = await json<{ jobId: string }>(`${agent.httpUrl}/api/v1/images/download`, {
    imageId: 'bench',
    catalogId: '',
    url: source.url,
    targetDir: path.dirname(file),
    filename: path.basename(file),
    poolId: '',
    checksum: `sha256:${source.sha256}`,
    ...change,
  })
  for (;;) {
    const job = await json<{ status: string; errorMessage: string | null }>(
      `${agent.httpUrl}/api/v1/images/download/${posted.jobId}`,
    )
    if (job.status === 'completed') return (performance.now() - started) / 1000
    if (job.status === 'failed') throw new Error(`the download failed: ${job.errorMessage}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function json<T>(url: string, body?: object): Promise<T> {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url, body === undefined ? {} : post)
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as T
}

/** Samples a process tree until `stop`. Short-lived children are counted as far as a sample met them. */
export function watchUsage(pid: number): { stop(): Omit<Run, 'seconds'> } {
  let peakRssBytes = 0
  let peakLargestBytes = 0
  let peakPssBytes = 0
  let first: number | undefined
  let cpuSeconds = 0
  let samples = 0
  const sample = async () => {
    const now = await treeUsage(pid)
    peakRssBytes = Math.max(peakRssBytes, now.rssBytes)
    peakLargestBytes = Math.max(peakLargestBytes, now.largestRssBytes)
    if (samples++ % SAMPLES_PER_PSS === 1) peakPssBytes = Math.max(peakPssBytes, await treePss(pid))
    first ??= now.cpuSeconds
    cpuSeconds = Math.max(cpuSeconds, now.cpuSeconds - first)
  }
  const timer = setInterval(() => void sample(), SAMPLE_MS)
  return {
    stop() {
      clearInterval(timer)
      return { peakRssBytes, peakLargestBytes, peakPssBytes, cpuSeconds }
    },
  }
}

async function treePss(pid: number): Promise<number> {
  try {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    let sum = Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) * 1024
    for (const child of children.split(' ').filter(Boolean)) sum += await treePss(Number(child))
    return sum
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return 0
  }
}

if (import.meta.main) {
  const home = await mkdtemp(path.join(process.argv[2] ?? tmpdir(), 'lqx-bench-'))
  const agent = await startAgent({ directory: home, config: { downloads: { allow_private_addresses: true } } })
  try {
    const sizeBytes = Number(process.argv[3] ?? 2) * 2 ** 30
    await benchDownload({ agent, directory: path.join(agent.stateDir, 'cloud-images'), sizeBytes })
  } finally {
    await agent.stop()
    await rm(home, { recursive: true })
  }
}
