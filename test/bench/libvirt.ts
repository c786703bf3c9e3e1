/**
 * Our libvirt client beside the C library (python3-libvirt), against one and the same daemon, in interleaved rounds: sequential and 64 callers.
 * Starts and stops a libvirtd of its own; needs root, libvirt-daemon-system and python3-libvirt. ROUNDS and CALLS in the environment change the length.
 */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { silentLogger } from '../../src/core/context.ts'
import { LibvirtClient } from '../../src/libvirt/client.ts'

interface Round {
  readonly rate: number
  readonly p50us: number
  readonly p99us: number
  readonly cpuUs: number
}

const ROUNDS = Number(process.env['ROUNDS'] ?? 7)
const CALLS = Number(process.env['CALLS'] ?? 12_800)
const CALLERS = 64
const host = join(import.meta.dirname, '../../scripts/libvirt-host')
const directory = mkdtempSync(join(tmpdir(), 'lqx-bench-'))
chmodSync(directory, 0o711)

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

async function ours(client: LibvirtClient, callers: number, calls: number): Promise<Round> {
  const { dom } = await client.call('remote:DOMAIN_LOOKUP_BY_NAME', { name: 'test' })
  const latencies = new Float64Array(calls)
  let next = 0
  const cpu = process.cpuUsage()
  const start = performance.now()
  const caller = async () => {
    for (let i = next++; i < calls; i = next++) {
      const sent = performance.now()
      await client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 })
      latencies[i] = performance.now() - sent
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  latencies.sort()
  const at = (share: number) => (latencies[Math.floor(calls * share)] ?? Number.NaN) * 1000
  return { rate: calls / seconds, p50us: at(0.5), p99us: at(0.99), cpuUs: (used.user + used.system) / calls }
}

/** Runs `work` and notes the 99th percentile of the event-loop delay meanwhile, in ms; sampled every ms, so 1 ms is none. */
async function withLoopDelay<T>(into: number[], work: () => Promise<T>): Promise<T> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const result = await work()
  delay.disable()
  into.push(delay.percentile(99) / 1e6)
  return result
}

function startPeer(uri: string) {
  const child = spawn('/usr/bin/python3', [join(import.meta.dirname, 'libvirt-peer.py'), uri], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async round(callers: number, calls: number): Promise<Round> {
      child.stdin.write(`${callers} ${calls}\n`)
      const { value, done } = await lines.next()
      if (done === true) throw new Error('the python peer ended; is python3-libvirt installed?')
      return JSON.parse(value) as Round
    },
    stop: () => child.stdin.end(),
  }
}

function print(name: string, rounds: Round[]): void {
  const cell = (value: number, width: number) => String(Math.round(value)).padStart(width)
  const column = (key: keyof Round) => rounds.map((round) => round[key])
  console.log(
    `${name.padEnd(34)}${cell(median(column('rate')), 10)}${`${cell(Math.min(...column('rate')), 9)}..${Math.round(Math.max(...column('rate')))}`.padEnd(19)}` +
      `${cell(median(column('p50us')), 8)}${cell(median(column('p99us')), 9)}${cell(median(column('cpuUs')), 13)}`,
  )
}

async function main(): Promise<void> {
  execFileSync(host, ['up', directory, '--domain-type', 'qemu'], { stdio: ['ignore', 'ignore', 'inherit'] })
  const socketPath = `${directory}/run/libvirt-sock`
  const client = new LibvirtClient({ uri: 'test:///default', socketPath, log: silentLogger })
  const peer = startPeer(`test+unix:///default?socket=${socketPath}`)
  try {
    await client.ready(AbortSignal.timeout(30_000))
    const results = { oursOne: [] as Round[], peerOne: [] as Round[], oursMany: [] as Round[], peerMany: [] as Round[] }
    const delays = { working: [] as number[], idle: [] as number[] }
    // One round of each to warm up the daemon, the JIT and the interpreter.
    for (const callers of [1, CALLERS]) {
      await ours(client, callers, CALLS)
      await peer.round(callers, CALLS)
    }
    for (let round = 0; round < ROUNDS; round++) {
      results.oursOne.push(await ours(client, 1, CALLS / 4))
      results.peerOne.push(await peer.round(1, CALLS / 4))
      results.oursMany.push(await withLoopDelay(delays.working, () => ours(client, CALLERS, CALLS)))
      // Our loop has nothing to do meanwhile: what it is late by then is the machine's own noise.
      results.peerMany.push(await withLoopDelay(delays.idle, () => peer.round(CALLERS, CALLS)))
    }
    console.log(`virDomainGetState on test:///default, ${ROUNDS} interleaved rounds, median\n`)
    console.log(
      `${''.padEnd(34)}${'calls/s'.padStart(10)}${'   min..max'.padEnd(19)}${'p50 us'.padStart(8)}${'p99 us'.padStart(9)}${'CPU us/call'.padStart(13)}`,
    )
    print('limiquantix, sequential', results.oursOne)
    print('C library (python), sequential', results.peerOne)
    print(`limiquantix, ${CALLERS} callers`, results.oursMany)
    print(`C library (python), ${CALLERS} threads`, results.peerMany)
    const ratio = (a: Round[], b: Round[]) => (median(a.map((r) => r.rate)) / median(b.map((r) => r.rate))).toFixed(2)
    console.log(
      `\nratio of the rates: sequential ${ratio(results.oursOne, results.peerOne)}, ${CALLERS} callers ${ratio(results.oursMany, results.peerMany)} (target: at least 1.00)`,
    )
    const both = (values: number[]) =>
      `${median(values).toFixed(1)} ms (worst round ${Math.max(...values).toFixed(1)} ms)`
    console.log(
      `event-loop delay, p99: ${both(delays.working)} with ${CALLERS} callers, ${both(delays.idle)} idle beside the C library (target: below 10 ms)`,
    )
  } finally {
    peer.stop()
    await client.close()
  }
}

try {
  await main()
} finally {
  execFileSync(host, ['down', directory], { stdio: ['ignore', 'ignore', 'inherit'] })
  rmSync(directory, { recursive: true, force: true })
}
