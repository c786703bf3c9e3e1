import { rm } from 'node:fs/promises'
import path from 'node:path'
import { startAgent } from '../support/agent-process.ts'
import { median, printTable, treeUsage, verdict } from './measure.ts'

const STARTS = 7
const IDLE_SECONDS = 60

/** Time from exec to the listeners being open, from a checkout and from the bundle; first start (empty compile cache) apart from later ones. */
export async function benchStart(directory: string, config: Readonly<Record<string, unknown>>): Promise<void> {
  const rows: string[][] = []
  for (const [name, env] of [
    ['checkout (TypeScript)', {}],
    ['bundle (npm run build)', { LIMIQUANTIX_USE_DIST: '1' }],
  ] as const) {
    const times: number[] = []
    const home = path.join(directory, `start-${rows.length}`)
    for (let index = 0; index < STARTS; index++) {
      const started = performance.now()
      const agent = await startAgent({ directory: home, config, env })
      times.push((performance.now() - started) / 1000)
      await agent.stop()
    }
    const [first = NaN, ...later] = times
    rows.push([name, first.toFixed(2), median(later).toFixed(2), '<= 0.60', verdict(median(later) <= 0.6)])
    await rm(home, { recursive: true })
  }
  printTable(`start to serving, seconds, ${STARTS} starts`, ['', 'first', 'median later', 'target', ''], rows)
}

/** RSS and CPU of the agent and its helpers while nobody asks anything, one pool active, heartbeats on. */
export async function benchIdle(pid: number): Promise<void> {
  const before = await treeUsage(pid)
  const started = performance.now()
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000))
  const after = await treeUsage(pid)
  const percent = ((after.cpuSeconds - before.cpuSeconds) / ((performance.now() - started) / 1000)) * 100
  printTable(
    `idle for ${IDLE_SECONDS} s`,
    ['', 'processes', 'RSS MiB', 'CPU %', 'target', ''],
    [
      [
        'limiquantix-node and helpers',
        String(after.processes),
        (after.rssBytes / 2 ** 20).toFixed(0),
        percent.toFixed(2),
        '<= 0.50',
        verdict(percent <= 0.5),
      ],
    ],
  )
}
