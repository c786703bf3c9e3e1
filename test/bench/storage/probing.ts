import path from 'node:path'
import { printTable, treeUsage, verdict } from '../measure.ts'
import { until } from '../../support/until.ts'
import type { StorageBench, StorageSection } from './section.ts'

const POOLS = 32
const SECONDS = 60
const PROBES_PER_SECOND = 0.1

/** What looking at 32 local pools every 10 s costs, beside the same agent with none. */
export const probing: StorageSection = {
  name: 'probing',
  async run(bench) {
    const idle = await watch(bench)
    for (let index = 0; index < POOLS; index++) {
      await bench.localPool(`pool-${index}`, path.join(bench.directory, `pool-${index}`))
    }
    await until(async () => (await healthy(bench)) === POOLS)
    const probed = await watch(bench)
    const perProbe = ((probed.cpuSeconds - idle.cpuSeconds) * 1000) / (POOLS * SECONDS * PROBES_PER_SECOND)
    const row = (name: string, { cpuSeconds, loopMs }: Usage) => [
      name,
      ((cpuSeconds / SECONDS) * 100).toFixed(2),
      loopMs.toFixed(1),
    ]
    printTable(
      `${POOLS} local pools, each looked at every ${1 / PROBES_PER_SECOND} s, for ${SECONDS} s`,
      ['', 'CPU %', 'event-loop delay p99 ms', 'CPU ms per probe', 'target', ''],
      [
        row('limiquantix-node without pools', idle),
        [...row(`with ${POOLS} pools`, probed), perProbe.toFixed(2), '<= 5.00', verdict(perProbe <= 5)],
      ],
    )
  },
}

interface Usage {
  readonly cpuSeconds: number
  readonly loopMs: number
}

async function watch({ agent }: StorageBench): Promise<Usage> {
  const before = await treeUsage(agent.pid)
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000))
  const after = await treeUsage(agent.pid)
  const metrics = await (await fetch(`${agent.httpUrl}/metrics`)).text()
  const delay = /^nodejs_eventloop_delay_seconds\{quantile="0.99"\} (\S+)$/m.exec(metrics)?.[1]
  return { cpuSeconds: after.cpuSeconds - before.cpuSeconds, loopMs: Number(delay) * 1000 }
}

async function healthy({ agent }: StorageBench): Promise<number> {
  const answer = await fetch(`${agent.httpUrl}/api/v1/storage/pools`)
  const { pools } = (await answer.json()) as { pools: { health: string }[] }
  return pools.filter(({ health }) => health === 'HEALTHY').length
}
