/**
 * What a heartbeat costs the agent: the link with 20 pools and 200 VMs against the stand-in control plane in another process, beside a bare undici POST of the same bytes. Each
 * round is one beat of 1,000 agents, so a second of the real thing is 33 of them. ROUNDS in the environment changes the length. Target: 5 ms of CPU per beat.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { Pool } from 'undici'
import { AssignedPools } from '../../src/controlplane/assigned-pools.ts'
import { heartbeatRequest, type HeartbeatSource } from '../../src/controlplane/heartbeat.ts'
import { createControlPlaneLink } from '../../src/controlplane/link.ts'
import type { Pace } from '../../src/controlplane/pace.ts'
import { createRegistrar } from '../../src/controlplane/registration.ts'
import { hostReport } from '../../src/controlplane/state-report.ts'
import { StateSync } from '../../src/controlplane/state-sync.ts'
import type { ToldStates } from '../../src/controlplane/told-record.ts'
import { silentLogger } from '../../src/core/context.ts'
import type { VmInfo } from '../../src/core/model.ts'
import { createConnectClient } from '../../src/platform/connect-client.ts'
import type { StorageEnvironment } from '../../src/storage/environment.ts'
import { PoolManager } from '../../src/storage/pool-manager.ts'
import { memoryPools, memoryStorage } from '../conformance/memory-pool.ts'
import { memoryCollection } from '../conformance/memory-state.ts'
import { storageEnvironment } from '../support/storage-environment.ts'
import { FACTS, LOAD } from '../unit/controlplane/link-fixture.ts'
import { median, percentile, printTable, verdict } from './measure.ts'

const AGENTS = 1_000
const ROUNDS = Number(process.env['ROUNDS'] ?? 7)
const POOLS = 20
const VMS = 200
const TARGET_MS = 5
const UPDATE_HEARTBEAT = '/limiquantix.compute.v1.NodeService/UpdateHeartbeat'

interface Round {
  readonly cpuMs: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const vms: VmInfo[] = Array.from({ length: VMS }, (_, n) => ({
  vmId: `${String(n).padStart(8, '0')}-1111-4111-8111-111111111111`,
  ...{ name: `vm-${n}`, state: n % 4 === 0 ? 'STOPPED' : 'RUNNING', managed: true, cpuCount: 4, memoryBytes: 2 ** 33 },
  ...{ labels: {}, disks: [], observedAt: 1 },
}))

async function poolManager(environment: StorageEnvironment): Promise<PoolManager> {
  const ids = Array.from({ length: POOLS }, (_, n) => `pool-${n}`)
  const storages = new Map(ids.map((id) => [id, memoryStorage()]))
  const pools = new PoolManager({ factories: [memoryPools(storages)], environment, store: memoryCollection() })
  await pools.start()
  const ctx = { signal: AbortSignal.timeout(30_000), log: silentLogger }
  for (const id of ids) await pools.init({ poolId: id, kind: 'LOCAL_LVM', options: { storage: id } }, ctx)
  return pools
}

/** Beats one after the other: whoever would sleep wakes with the next turn of the event loop. */
class Breathless implements Pace {
  #nowMs = 0
  readonly #beats: (() => void)[] = []

  now(): number {
    return this.#nowMs
  }

  random(): number {
    return 0
  }

  async delay(ms: number, signal: AbortSignal): Promise<void> {
    this.#nowMs += ms
    await new Promise<void>((resolve) => {
      this.#beats.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    signal.throwIfAborted()
  }

  /** Lets the next beat go, and waits until it is over. */
  async beat(): Promise<void> {
    while (this.#beats.length === 0) await new Promise((resolve) => setImmediate(resolve))
    this.#beats.shift()?.()
    while (this.#beats.length === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

async function round(work: () => Promise<void>): Promise<Round> {
  const latencies: number[] = []
  const before = process.cpuUsage()
  for (let agent = 0; agent < AGENTS; agent++) {
    const started = performance.now()
    await work()
    latencies.push(performance.now() - started)
  }
  const used = process.cpuUsage(before)
  const cpuMs = (used.user + used.system) / 1_000 / AGENTS
  return { cpuMs, p50Ms: percentile(latencies, 50), p99Ms: percentile(latencies, 99) }
}

const peer = spawn(process.execPath, [path.join(import.meta.dirname, 'link-peer.ts')], {
  stdio: ['pipe', 'pipe', 'inherit'],
})
const [url] = (await once(createInterface(peer.stdout), 'line')) as [string]
const environment = storageEnvironment('/nowhere')
const pools = await poolManager(environment)
const client = createConnectClient({ baseUrl: url })
const pace = new Breathless()
const common = { client, pace, log: silentLogger }
const assigned = new AssignedPools({
  ...common,
  pools: {
    known: () => pools.list().map(({ config }) => config.poolId),
    find: () => Promise.resolve(),
    init: () => Promise.resolve(),
  },
})
const stateSync = new StateSync({
  ...common,
  // Clocks of its own: only beats are to be driven by the one above.
  pace: { now: () => performance.now(), random: () => 0, delay: () => Promise.resolve() },
  vms: { read: () => Promise.resolve(vms), onChange: () => () => undefined },
  addresses: { of: () => undefined, onChange: () => () => undefined },
  pools: { list: () => pools.list(), onChange: () => () => undefined },
  host: () => Promise.resolve(hostReport(FACTS, LOAD)),
  importForeign: true,
  store: memoryCollection<ToldStates>(),
})
const source: HeartbeatSource = {
  load: () => LOAD,
  pools: () => pools.list(),
  missingPools: () => assigned.missing(),
  runningVmCount: () => vms.filter(({ state }) => state === 'RUNNING').length,
  stateHash: () => stateSync.stateHash(),
}
const link = createControlPlaneLink({
  ...common,
  registrar: createRegistrar({
    client,
    store: { collection: <T>() => memoryCollection<T>() },
    facts: () => Promise.resolve(FACTS),
    labels: {},
  }),
  source,
  intervalMs: 30_000,
  onAnswer: (answer) => assigned.update(answer),
  onRegistered: (nodeId) => stateSync.registered(nodeId),
})
link.start()
await pace.beat()
while (stateSync.stateHash() === undefined) await new Promise((resolve) => setTimeout(resolve, 10))

const { nodeId } = link.status()
const bytes = JSON.stringify(heartbeatRequest(nodeId, source))
const bare = new Pool(url, { connections: 1 })
const post = async () => {
  const headers = { 'content-type': 'application/json' }
  const { body } = await bare.request({ method: 'POST', path: UPDATE_HEARTBEAT, headers, body: bytes })
  await body.text()
}

const ours: Round[] = []
const theirs: Round[] = []
for (let n = 0; n <= ROUNDS; n++) {
  const [beat, posted] = [await round(() => pace.beat()), await round(post)]
  // The first one warms both up.
  if (n > 0) {
    ours.push(beat)
    theirs.push(posted)
  }
}
const { heartbeatsFailed, heartbeatsAcknowledged } = link.status()
const of = (rounds: readonly Round[], key: keyof Round) => median(rounds.map((each) => each[key]))
const row = (name: string, rounds: readonly Round[], target: string) => {
  const cpu = of(rounds, 'cpuMs')
  const spread = percentile(
    rounds.map(({ cpuMs }) => cpuMs),
    100,
  )
  const times = (cpu / of(theirs, 'cpuMs')).toFixed(2)
  const fixed = [cpu, spread, of(rounds, 'p50Ms'), of(rounds, 'p99Ms')].map((value) => value.toFixed(3))
  return [name, ...fixed, `${times}x`, target]
}
printTable(
  `Heartbeats: ${POOLS} pools, ${VMS} VMs, ${bytes.length} bytes; ${ROUNDS} rounds of ${AGENTS}, ${heartbeatsAcknowledged} acknowledged, ${heartbeatsFailed} failed`,
  ['', 'CPU ms/beat', 'worst round', 'p50 ms', 'p99 ms', 'CPU vs. bare', `target ${TARGET_MS} ms CPU`],
  [
    row('the link of the agent', ours, verdict(of(ours, 'cpuMs') <= TARGET_MS)),
    row('undici, the same bytes', theirs, ''),
  ],
)

await link.stop()
await assigned.stop()
await stateSync.stop()
pools.stop()
environment.io.close()
await bare.close()
peer.stdin.end()
process.exitCode = heartbeatsFailed === 0 && of(ours, 'cpuMs') <= TARGET_MS ? 0 : 1
