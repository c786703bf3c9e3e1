import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { median } from '../bench/measure.ts'
import { until } from '../support/until.ts'
import type { LatencyCall, LatencyPlan, LatencySample } from './guest/latency-protocol.ts'
import { installGuestProgram } from './guest-program.ts'
import { quote, type Rig } from './rig.ts'

/** Measures the agent's gRPC API from inside the host until it is ended. */
export interface LatencyMeter {
  readonly samples: readonly LatencySample[]
  /** Samples from now on go into a list of their own, which is returned. */
  lap(): readonly LatencySample[]
  end(): Promise<void>
}

/** Name of the calls to a bare gRPC server on the same host: what the emulated host takes by itself. */
export const BARE = 'bare gRPC echo'

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'rig')
const PAUSE_MS = 25
const COMPARED_CALLS = 400

/** What a client asks all the time, of an agent with the healthy pool `poolId`, beside the bare server. */
export function latencyCalls(poolId: string): LatencyCall[] {
  return [
    { name: BARE, method: 'HealthCheck', request: {}, echo: true },
    ...['HealthCheck', 'ListStoragePools'].map((method) => ({ name: method, method, request: {} })),
    { name: 'GetStoragePoolInfo', method: 'GetStoragePoolInfo', request: { poolId } },
    { name: 'ListStoragePoolFiles', method: 'ListStoragePoolFiles', request: { poolId, path: '' } },
  ]
}

/** Starts to ask, one call after the other; resolves with the first answer. The agent must allow the host itself (agent-config.ts). */
export async function startLatencyMeter(rig: Rig, calls: readonly LatencyCall[]): Promise<LatencyMeter> {
  const program = await installGuestProgram(rig, 'latency-meter')
  const plan: LatencyPlan = { address: '10.99.0.2:9090', calls, pauseMs: PAUSE_MS }
  const command = `exec node ${program} run ${quote(JSON.stringify(plan))}`
  return meterOf(spawn(SCRIPT, ['ssh', rig.directory, '0', command], { stdio: ['pipe', 'pipe', 'inherit'] }))
}

/**
 * How many times as long the emulated host takes for the same thing as this one: by the bare server, here and in `samples` of there. A limit in milliseconds is one for a host that is
 * not emulated; this is what makes it comparable.
 */
export async function slownessOf(samples: readonly LatencySample[]): Promise<number> {
  const program = path.join(import.meta.dirname, 'guest', 'latency-meter.ts')
  const plan: LatencyPlan = { calls: latencyCalls('').filter(({ echo }) => echo), pauseMs: PAUSE_MS }
  const args = [program, 'run', JSON.stringify(plan)]
  const here = await meterOf(spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
  try {
    await until(() => Promise.resolve(here.samples.length >= COMPARED_CALLS), 60_000)
  } finally {
    await here.end()
  }
  return median(latenciesOf(samples, BARE)) / median(latenciesOf(here.samples, BARE))
}

async function meterOf(child: ChildProcessByStdio<Writable, Readable, null>): Promise<LatencyMeter> {
  const exited = once(child, 'exit')
  const samples: LatencySample[] = []
  let lap: LatencySample[] = []
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    const sample = JSON.parse(line) as LatencySample
    samples.push(sample)
    lap.push(sample)
  })
  await Promise.race([
    once(lines, 'line'),
    exited.then(([code]) => Promise.reject(new Error(`the latency meter ended with ${code}`))),
  ])
  return {
    samples,
    lap() {
      lap = []
      return lap
    },
    async end() {
      child.stdin.end()
      await exited
    },
  }
}

/** Milliseconds that the good answers of one call took. */
export function latenciesOf(samples: readonly LatencySample[], name: string): number[] {
  return samples.filter((sample) => sample.name === name && sample.error === '').map(({ ms }) => ms)
}
