import { setTimeout as pause } from 'node:timers/promises'
import { agentConfig, agentConfigGone } from '../../rig/agent-config.ts'
import type { LatencySample } from '../../rig/guest/latency-protocol.ts'
import { BARE, latenciesOf, latencyCalls, startLatencyMeter } from '../../rig/latency.ts'
import { rigPools } from '../../rig/rig-pools.ts'
import { secondServer } from '../../rig/second-server.ts'
import { median, percentile, printTable, verdict } from '../measure.ts'
import { benchRig, missingBenchRig } from './bench-rig.ts'
import type { StorageBench, StorageSection } from './section.ts'

const ROUNDS = 2
const SECONDS = 40
const STATE_TIMEOUT_MS = 60_000
/** Most that healthy pools may differ. */
const CHANGE = 0.2

type Dead = 0 | 1 | 6

/**
 * Latency of calls about healthy pools, in interleaved rounds with 0, 1 and 6 of 6 NFS pools dead (packets lost), on a rig: its own, or the one that is up in
 * LIMIQUANTIX_TEST_RIG_DIR. Beside it a bare gRPC server on the same emulated host, by whose p50 the change is corrected.
 */
export const outage: StorageSection = {
  name: 'outage',
  missing: missingBenchRig,
  run: measure,
}

async function measure({ directory }: StorageBench): Promise<void> {
  await using cleanup = new AsyncDisposableStack()
  const rig = await benchRig(directory, cleanup)
  cleanup.defer(() => agentConfigGone(rig))
  await agentConfig(rig, {})
  const second = cleanup.use(await secondServer(rig))
  const pools = rigPools(rig)
  cleanup.defer(() => pools.destroyAll())
  const { poolId } = await pools.local()
  const lonely = await pools.nfs('pool6', second.options)
  const remote = [lonely]
  for (const name of ['pool1', 'pool2', 'pool3', 'pool4', 'pool5']) remote.push(await pools.nfs(name))
  const calls = latencyCalls(poolId)
  const meter = await startLatencyMeter(rig, calls)
  cleanup.defer(() => meter.end())
  cleanup.defer(() => second.pass())

  const arrange: Readonly<Record<Dead, () => Promise<void>>> = {
    0: () => second.pass(),
    1: () => second.drop('second'),
    6: () => second.drop('both'),
  }
  const seen = new Map<Dead, LatencySample[]>([0, 1, 6].map((dead) => [dead as Dead, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [dead, samples] of seen) {
      await arrange[dead]()
      for (const [index, pool] of remote.entries()) {
        await pools.becomes(pool.poolId, index < dead ? /ERROR/ : /^HEALTHY$/, STATE_TIMEOUT_MS)
      }
      const lap = meter.lap()
      await pause(SECONDS * 1000)
      samples.push(...lap)
    }
  }
  const p50 = (dead: Dead, name: string) => median(latenciesOf(seen.get(dead) ?? [], name))
  const rows = calls.map(({ name }) => {
    const cells = [0, 1, 6].flatMap((dead) => {
      const all = latenciesOf(seen.get(dead as Dead) ?? [], name)
      return [percentile(all, 50).toFixed(1), percentile(all, 99).toFixed(1)]
    })
    if (name === BARE) return [name, ...cells, '', '', '']
    const change = p50(6, name) / p50(6, BARE) / (p50(0, name) / p50(0, BARE)) - 1
    return [name, ...cells, `${(change * 100).toFixed(0)} %`, `±${CHANGE * 100} %`, verdict(Math.abs(change) <= CHANGE)]
  })
  const failed = [...seen.values()].flat().filter(({ error }) => error !== '')
  printTable(
    `API latency in ms with dead NFS pools, on the emulated host, ${ROUNDS} interleaved rounds of ${SECONDS} s; ${failed.length} calls failed`,
    ['healthy pools', 'p50, 0 dead', 'p99', 'p50, 1 dead', 'p99', 'p50, 6 dead', 'p99', 'change', 'target', ''],
    rows,
  )
}
