/**
 * Asks the agent and a bare gRPC server on the same host in turn until stdin ends, one JSON line (LatencySample) for each answer. Bundled into one file for the guest; as it is
 * outside, to compare the hosts.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { NodeClient } from '../../control-plane/node-client.ts'
import type { LatencyPlan, LatencySample } from './latency-protocol.ts'

const [mode = '', plan = '{}'] = process.argv.slice(2)

if (mode === 'echo') {
  // The same server as in the gRPC figures: grpc-js with nothing behind it.
  await import('../../bench/echo-server.ts')
} else {
  const { address, calls, pauseMs } = JSON.parse(plan) as LatencyPlan
  const echo = fork(process.argv[1] ?? '', ['echo'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const [echoAddress] = (await once(echo, 'message')) as [string]
  const bare = new NodeClient(echoAddress)
  const agent = address === undefined ? bare : new NodeClient(address)
  let ended = false
  process.stdin.resume().once('end', () => {
    ended = true
  })
  // The first calls of a connection load the protocol; they say nothing.
  await Promise.all([agent.dial(60_000), bare.dial(60_000)])
  while (!ended) {
    for (const { name, method, request, echo: toEcho } of calls) {
      const started = performance.now()
      const error = await (toEcho ? bare : agent).call(method, request, 20_000).then(
        () => '',
        (failure: unknown) => String(failure),
      )
      const sample: LatencySample = { name, at: Date.now(), ms: performance.now() - started, error }
      process.stdout.write(`${JSON.stringify(sample)}\n`)
      await pause(pauseMs)
    }
  }
  agent.close()
  bare.close()
  echo.kill()
}
