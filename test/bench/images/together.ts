import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { AgentProcess } from '../../support/agent-process.ts'
import { agentSeconds, shell, watchUsage, type Source } from '../download.ts'
import { percentile, printTable, verdict } from '../measure.ts'
import type { ImageBench, ImageSection } from './section.ts'

const AT_ONCE = 8
const EVERY_MS = 20

/** Eight downloads at once beside eight curls, and how the API answers meanwhile. */
export const together: ImageSection = { name: 'together', run }

async function run({ agent, directory, sizeBytes }: ImageBench): Promise<void> {
  const each = Math.floor(sizeBytes / AT_ONCE / 512) * 512
  const server = fork(path.join(import.meta.dirname, '..', 'image-source.ts'), [String(each)])
  const [source] = (await once(server, 'message')) as [Source]
  const files = Array.from({ length: AT_ONCE }, (_, index) => path.join(directory, `${index}.img`))
  try {
    const curl = await seconds(() =>
      Promise.all(files.map((file) => shell(`curl -sf -o "$1.curl" "$0"`, source, file))),
    )
    const idle = await latencies(agent, () => pause(2_000))
    // A scrape begins the figures of the next one.
    await loopDelayMs(agent)
    const usage = watchUsage(agent.pid)
    const started = performance.now()
    const busy = await latencies(agent, () => Promise.all(files.map((file) => agentSeconds(agent, source, file))))
    const ours = (performance.now() - started) / 1000
    const { peakRssBytes, cpuSeconds } = usage.stop()
    const delay = await loopDelayMs(agent)
    printTable(
      `${AT_ONCE} downloads of ${(each / 2 ** 20).toFixed(0)} MiB at once; GET /healthz every ${EVERY_MS} ms meanwhile`,
      ['', 'seconds', 'CPU s', 'RSS MiB', 'API p50 ms', 'API p99 ms', 'loop p99 ms', 'target', ''],
      [
        ['curl -o', curl.toFixed(2), '', '', '', '', '', '', ''],
        ['limiquantix-node, idle', '', '', '', ...figures(idle), '', '', ''],
        [
          'limiquantix-node, downloading',
          ours.toFixed(2),
          cpuSeconds.toFixed(2),
          (peakRssBytes / 2 ** 20).toFixed(0),
          ...figures(busy),
          delay.toFixed(1),
          'loop p99 < 10',
          verdict(delay < 10),
        ],
      ],
    )
  } finally {
    server.kill()
  }
}

function figures(ms: readonly number[]): string[] {
  return [percentile(ms, 50).toFixed(1), percentile(ms, 99).toFixed(1)]
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}

async function latencies(agent: AgentProcess, work: () => Promise<unknown>): Promise<number[]> {
  const all: number[] = []
  let over = false
  const asking = (async () => {
    while (!over) {
      const started = performance.now()
      await (await fetch(`${agent.httpUrl}/healthz`)).text()
      all.push(performance.now() - started)
      await pause(EVERY_MS)
    }
  })()
  await work().finally(() => (over = true))
  await asking
  return all
}

async function loopDelayMs(agent: AgentProcess): Promise<number> {
  const text = await (await fetch(`${agent.httpUrl}/metrics`)).text()
  return Number(/^nodejs_eventloop_delay_seconds\{quantile="0\.99"\} (\S+)$/m.exec(text)?.[1] ?? NaN) * 1000
}
