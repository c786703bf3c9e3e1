import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { NodeClient } from '../control-plane/node-client.ts'
import { percentile, printTable } from './measure.ts'

interface Load {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const CALLERS = 32
const SECONDS = 5
const ROUNDS = 3

/** HealthCheck and ListVMs of the agent beside a bare grpc-js server that answers the same message from a constant; interleaved rounds. */
export async function benchGrpc(agentAddress: string): Promise<void> {
  const echo = fork(path.join(import.meta.dirname, 'echo-server.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [address] = (await once(echo, 'message')) as [string]
  const targets = [
    ['bare grpc-js echo, HealthCheck', address, 'HealthCheck'],
    ['limiquantix-node, HealthCheck', agentAddress, 'HealthCheck'],
    ['bare grpc-js echo, ListVMs', address, 'ListVMs'],
    ['limiquantix-node, ListVMs', agentAddress, 'ListVMs'],
  ] as const
  const runs = new Map<string, Load[]>()
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, at, method] of targets) runs.set(name, [...(runs.get(name) ?? []), await load(at, method)])
  }
  echo.kill()
  const best = (name: string): Load => (runs.get(name) ?? []).reduce((a, b) => (a.perSecond >= b.perSecond ? a : b))
  printTable(
    `gRPC, ${CALLERS} callers, best of ${ROUNDS} interleaved rounds of ${SECONDS} s`,
    ['', 'calls/s', 'p50 ms', 'p99 ms', 'ratio'],
    targets.map(([name], index) => {
      const row = best(name)
      const peer = targets[index - (index % 2)]
      const ratio = peer === undefined ? 1 : row.perSecond / best(peer[0]).perSecond
      return [name, row.perSecond.toFixed(0), row.p50Ms.toFixed(2), row.p99Ms.toFixed(2), ratio.toFixed(2)]
    }),
  )
}

async function load(address: string, method: string): Promise<Load> {
  const client = new NodeClient(address)
  const latencies: number[] = []
  const end = performance.now() + SECONDS * 1000
  const caller = async () => {
    while (performance.now() < end) {
      const started = performance.now()
      await client.call(method, {})
      latencies.push(performance.now() - started)
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
  client.close()
  return { perSecond: latencies.length / SECONDS, p50Ms: percentile(latencies, 50), p99Ms: percentile(latencies, 99) }
}
