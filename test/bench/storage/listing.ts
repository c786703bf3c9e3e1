import { execFile } from 'node:child_process'
import { mkdir, utimes } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { median, printTable, treeUsage, verdict } from '../measure.ts'
import { RawListing } from './raw-listing.ts'
import { timed, type StorageBench, type StorageSection } from './section.ts'

const exec = promisify(execFile)
const FILES = 100_000
const ROUNDS = Number(process.env['ROUNDS'] ?? 9)
/** What fits into one gRPC answer. */
const GRPC_PART = 25_000
const TARGET = 1.5

/** A directory of 100,000 files through the agent beside `find -printf` with the same facts, in interleaved rounds. */
export const listing: StorageSection = {
  name: 'listing',
  async run(bench) {
    const pool = path.join(bench.directory, 'pool')
    const big = path.join(pool, 'big')
    await mkdir(big, { recursive: true })
    await exec('sh', ['-c', `cd ${big} && seq -f 'file-%06.0f.dat' ${FILES} | xargs touch`])
    await bench.localPool('bench', pool)
    const raw = new RawListing(bench.agent.grpcAddress)
    const ways = [
      ['find -printf name, size, mode, mtime, type', () => find(big)],
      ['HTTP, all of it in one answer', () => http(bench, '', FILES)],
      [`gRPC, all of it in ${FILES / GRPC_PART} parts`, () => grpc(raw)],
      ['HTTP, 1,000 of it by name', () => http(bench, '&limit=1000&offset=50000', 1_000)],
      ['HTTP, 1,000 of it by size', () => http(bench, '&limit=1000&offset=50000&sort=size', 1_000)],
    ] as const
    const times = new Map<string, number[]>(ways.map(([name]) => [name, []]))
    const cpuSeconds = new Map<string, number>()
    const latencies: number[] = []
    for (const [, work] of ways) await work()
    const watched = watchHealth(bench, latencies)
    try {
      for (let round = 0; round < ROUNDS; round++) {
        for (const [name, work] of ways) {
          // Changed for the agent, which remembers the order of an unchanged directory between parts.
          await utimes(big, 1_000, 1_000)
          const before = (await treeUsage(bench.agent.pid)).cpuSeconds
          times.get(name)?.push(await timed(work))
          const used = (await treeUsage(bench.agent.pid)).cpuSeconds - before
          cpuSeconds.set(name, (cpuSeconds.get(name) ?? 0) + used)
        }
      }
    } finally {
      await watched.stop()
      raw.close()
    }
    const of = (name: string) => times.get(name) ?? []
    const [peer] = ways[0]
    const best = (name: string) => Math.min(...of(name))
    printTable(
      `${FILES} files in a directory, ms, ${ROUNDS} interleaved rounds`,
      ['', 'best', 'median', 'ratio of best', 'of median', 'target', '', 'CPU of the agent'],
      ways.map(([name]) => {
        const ratio = best(name) / best(peer)
        const cells = [best(name).toFixed(0), median(of(name)).toFixed(0), ratio.toFixed(2)]
        const target = name === peer ? ['', ''] : [`<= ${TARGET}`, verdict(ratio <= TARGET)]
        const cpu = name === peer ? '' : (((cpuSeconds.get(name) ?? 0) * 1000) / ROUNDS).toFixed(0)
        return [name, ...cells, (median(of(name)) / median(of(peer))).toFixed(2), ...target, cpu]
      }),
    )
    const p99 = latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? NaN
    process.stdout.write(
      `  GET /healthz meanwhile, every 10 ms: median ${median(latencies).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms\n`,
    )
  },
}

async function find(directory: string): Promise<void> {
  const format = '%f\\t%s\\t%m\\t%T@\\t%y\\n'
  const { stdout } = await exec('find', [directory, '-mindepth', '1', '-printf', format], { maxBuffer: 2 ** 26 })
  expectEntries(stdout.split('\n').length - 1, FILES)
}

async function http({ agent }: StorageBench, query: string, entries: number): Promise<void> {
  const answer = await fetch(`${agent.httpUrl}/api/v1/storage/pools/bench/files?path=big${query}`)
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (answer.status !== 200) throw new Error(`HTTP ${answer.status}: ${bytes.toString('utf8', 0, 300)}`)
  // Counted, not parsed: what the client does with the answer is not the agent's time.
  expectEntries(bytes.toString('latin1').split('"isDirectory"').length - 1, entries)
}

// Not decoded, for the same reason: an entry has two texts of at least 15 bytes.
async function grpc(client: RawListing): Promise<void> {
  let bytes = 0
  for (let offset = 0; offset < FILES; offset += GRPC_PART) {
    bytes += await client.bytesOf({ poolId: 'bench', path: 'big', offset, limit: GRPC_PART })
  }
  if (bytes < FILES * 30) throw new Error(`${bytes} bytes are too few for ${FILES} entries`)
}

function expectEntries(found: number, expected: number): void {
  if (found !== expected) throw new Error(`${found} entries instead of ${expected}`)
}

function watchHealth({ agent }: StorageBench, latencies: number[]): { stop(): Promise<void> } {
  let going = true
  const watching = (async () => {
    while (going) {
      latencies.push(await timed(async () => (await fetch(`${agent.httpUrl}/healthz`)).arrayBuffer()))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  return {
    stop: () => {
      going = false
      return watching
    },
  }
}
