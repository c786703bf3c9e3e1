import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Counter, Gauge, Registry } from 'prom-client'
import type { AuditTrail } from '../audit/audit-trail.ts'
import type { VmMetrics } from '../core/metrics.ts'
import type { PoolInfo } from '../core/model.ts'
import type { Services } from '../services/contracts.ts'
import type { RequestStats } from '../services/request-stats.ts'
import { vmExposition } from './vm-exposition.ts'

const LIST_TIMEOUT_MS = 5_000
// The monitor wakes up at this interval once somebody scrapes; finer would cost an idle agent more than it tells.
const LOOP_RESOLUTION_MS = 50

/**
 * The metrics page as a function. Everything is read from the services at the scrape; a service that fails or takes longer than 5 s is counted in
 * `limiquantix_scrape_errors_total` and left out. Concurrent scrapes share one reading.
 */
export function createMetrics(
  services: Services,
  stats: RequestStats | undefined,
  audit?: AuditTrail,
): () => Promise<string> {
  const registry = new Registry()
  const readers = [
    processMetrics(registry),
    agentMetrics(registry, services),
    requestMetrics(registry, stats),
    auditMetrics(registry, audit),
  ]
  const readObjects = objectMetrics(registry, services)
  const render = async () => {
    const vms = await readObjects()
    for (const read of readers) read()
    return (await registry.metrics()) + vmExposition(vms)
  }
  let current: Promise<string> | undefined
  return () => (current ??= render().finally(() => (current = undefined)))
}

type Read = () => void

function gaugeIn(registry: Registry) {
  return <L extends string = never>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge<L>({ name, help, labelNames, registers: [registry] })
}

function processMetrics(registry: Registry): Read {
  const gauge = gaugeIn(registry)
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time of the main process.',
    labelNames: ['mode'],
    registers: [registry],
  })
  const rss = gauge('process_resident_memory_bytes', 'Resident memory of the main process.')
  const heap = gauge('nodejs_heap_used_bytes', 'Used JavaScript heap.')
  const started = gauge('process_start_time_seconds', 'Start of the process since the epoch.')
  const delayQuantiles = gauge('nodejs_eventloop_delay_seconds', 'Event loop delay since the last scrape.', 'quantile')
  const utilization = gauge('nodejs_eventloop_utilization_ratio', 'Busy share of the event loop since the last scrape.')
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
  loop.enable()
  let lastUtilization = performance.eventLoopUtilization()
  return () => {
    const usage = process.cpuUsage()
    cpu.reset()
    cpu.inc({ mode: 'user' }, usage.user / 1e6)
    cpu.inc({ mode: 'system' }, usage.system / 1e6)
    const memory = process.memoryUsage()
    rss.set(memory.rss)
    heap.set(memory.heapUsed)
    started.set(performance.timeOrigin / 1000)
    for (const quantile of [50, 99, 100]) {
      // The histogram holds intervals; what exceeds the resolution is the delay.
      const ms = loop.count === 0 ? 0 : loop.percentile(quantile) / 1e6 - LOOP_RESOLUTION_MS
      delayQuantiles.set({ quantile: String(quantile / 100) }, Math.max(0, ms) / 1000)
    }
    loop.reset()
    const now = performance.eventLoopUtilization()
    utilization.set(performance.eventLoopUtilization(now, lastUtilization).utilization)
    lastUtilization = now
  }
}

function agentMetrics(registry: Registry, { host, images, certificates }: Services): Read {
  const gauge = gaugeIn(registry)
  const build = gauge('limiquantix_build_info', 'Version of the agent; always 1.', 'version')
  const up = gauge('limiquantix_uptime_seconds', 'Time since the agent started.')
  const ready = gauge('limiquantix_ready', '1 when the agent is ready.')
  const connected = gauge('limiquantix_libvirt_connected', '1 while the agent is connected to libvirt.')
  const linked = gauge('limiquantix_control_plane_connected', '1 while the control plane acknowledges heartbeats.')
  const lastAck = gauge(
    'limiquantix_control_plane_last_ack_timestamp_seconds',
    'Time of the last acknowledged heartbeat.',
  )
  const beats = gauge(
    'limiquantix_control_plane_requests',
    'Requests to the control plane since the start.',
    'kind',
    'result',
  )
  const notAfter = gauge(
    'limiquantix_certificate_expiry_timestamp_seconds',
    'When a certificate expires: that of this host, and those of the authorities of clients; when a list of revoked ones ends.',
    'kind',
    'subject',
  )
  const operations = gauge('limiquantix_operations', 'Remembered operations.', 'kind', 'state')
  return () => {
    const { version, uptimeSeconds } = host.health()
    build.set({ version }, 1)
    up.set(uptimeSeconds)
    ready.set(host.readiness().ready ? 1 : 0)
    connected.set(host.hypervisor().connected ? 1 : 0)
    const link = host.controlPlane()
    if (link !== undefined) {
      linked.set(link.connected ? 1 : 0)
      lastAck.set((link.lastAckAt ?? 0) / 1000)
      beats.set({ kind: 'heartbeat', result: 'acknowledged' }, link.heartbeatsAcknowledged)
      beats.set({ kind: 'heartbeat', result: 'failed' }, link.heartbeatsFailed)
      beats.set({ kind: 'registration', result: 'acknowledged' }, link.registrations)
      beats.set({ kind: 'registration', result: 'failed' }, link.registrationsFailed)
    }
    notAfter.reset()
    const { certificate, authorities, revocations } = certificates.status()
    if (certificate !== undefined)
      notAfter.set({ kind: 'host', subject: certificate.subject }, certificate.notAfter / 1000)
    for (const authority of authorities)
      notAfter.set({ kind: 'authority', subject: authority.subject }, authority.notAfter / 1000)
    for (const { issuer, nextUpdate } of revocations)
      if (nextUpdate !== undefined) notAfter.set({ kind: 'revocations', subject: issuer }, nextUpdate / 1000)
    operations.reset()
    for (const state of ['pending', 'running', 'completed', 'failed', 'cancelled'])
      operations.set({ kind: 'download', state }, 0)
    for (const { state } of images.jobs()) operations.inc({ kind: 'download', state })
  }
}

function auditMetrics(registry: Registry, audit: AuditTrail | undefined): Read {
  if (audit === undefined) return () => undefined
  const gauge = gaugeIn(registry)
  const healthy = gauge('limiquantix_audit_healthy', '1 while the audit log can be written.')
  const lines = gauge('limiquantix_audit_lines', 'Number of the last line of the audit log on disk.')
  const waiting = gauge('limiquantix_audit_waiting_lines', 'Lines of the audit log that wait for the disk.')
  const lost = gauge('limiquantix_audit_lost_lines', 'Lines since the start that were never written.')
  return () => {
    const status = audit.status()
    healthy.set(status.healthy ? 1 : 0)
    lines.set(status.lines)
    waiting.set(status.waiting)
    lost.set(status.lost)
  }
}

function requestMetrics(registry: Registry, stats: RequestStats | undefined): Read {
  const labelNames = ['transport', 'method', 'code'] as const
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames, registers: [registry] })
  const count = counter('limiquantix_requests_total', 'Served requests.')
  const seconds = counter('limiquantix_request_seconds_total', 'Time spent on them.')
  return () => {
    count.reset()
    seconds.reset()
    for (const { transport, method, code, count: served, totalMs } of stats?.entries() ?? []) {
      count.inc({ transport, method, code }, served)
      seconds.inc({ transport, method, code }, totalMs / 1000)
    }
  }
}

function objectMetrics(registry: Registry, { vms, pools }: Services): () => Promise<VmMetrics[]> {
  const setVms = vmMetrics(registry)
  const setPools = poolMetrics(registry)
  const errors = new Counter({
    name: 'limiquantix_scrape_errors_total',
    help: 'Sources that could not be read at a scrape.',
    labelNames: ['source'],
    registers: [registry],
  })
  for (const source of ['vms', 'pools']) errors.inc({ source }, 0)
  const read = async <T>(source: string, list: (signal: AbortSignal) => Promise<T[]>): Promise<T[]> => {
    try {
      return await list(AbortSignal.timeout(LIST_TIMEOUT_MS))
    } catch {
      errors.inc({ source })
      return []
    }
  }
  return async () => {
    const [vmList, poolList] = await Promise.all([
      read('vms', (signal) => vms.metrics(signal)),
      read('pools', (signal) => pools.list(signal)),
    ])
    setVms(vmList)
    setPools(poolList)
    return vmList
  }
}

function vmMetrics(registry: Registry): (vms: readonly VmMetrics[]) => void {
  const count = gaugeIn(registry)('limiquantix_vms', 'VMs by power state.', 'state')
  return (vms) => {
    count.reset()
    for (const { state } of vms) count.inc({ state })
  }
}

function poolMetrics(registry: Registry): (pools: readonly PoolInfo[]) => void {
  const gauge = gaugeIn(registry)
  const bytes = gauge('limiquantix_pool_bytes', 'Capacity of a pool at its last probe.', 'pool', 'type', 'kind')
  const health = gauge('limiquantix_pool_health', '1 for the present health of a pool.', 'pool', 'type', 'health')
  const observed = gauge('limiquantix_pool_observed_timestamp_seconds', 'When a pool was last probed.', 'pool', 'type')
  const latency = gauge('limiquantix_pool_probe_seconds', 'How long that probe took.', 'pool', 'type')
  return (pools) => {
    for (const metric of [bytes, health, observed, latency]) metric.reset()
    for (const { config, observation } of pools) {
      const labels = { pool: config.poolId, type: config.kind }
      bytes.set({ ...labels, kind: 'total' }, observation.totalBytes)
      bytes.set({ ...labels, kind: 'used' }, observation.usedBytes)
      bytes.set({ ...labels, kind: 'available' }, observation.availableBytes)
      health.set({ ...labels, health: observation.health }, 1)
      observed.set(labels, observation.observedAt / 1000)
      latency.set(labels, observation.probeLatencyMs / 1000)
    }
  }
}
