import { uptime } from 'node:os'
import { z } from 'zod'
import { isAgentError } from '../../core/errors.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import type { PowerState } from '../../core/model.ts'
import type { HostService, VmService } from '../../services/contracts.ts'
import { ok, route, type Route } from '../route.ts'
import { time, toTime, unsigned } from '../schemas.ts'

const hostInfo = z.object({
  nodeId: z.string(),
  hostname: z.string(),
  managementIp: z.string(),
  cpuModel: z.string(),
  cpuCores: unsigned,
  memoryTotalBytes: unsigned,
  memoryAvailableBytes: unsigned,
  osName: z.string(),
  osVersion: z.string(),
  kernelVersion: z.string(),
  uptimeSeconds: unsigned,
  hypervisorName: z.string(),
  hypervisorVersion: z.string(),
})

const health = z.object({
  healthy: z.boolean(),
  version: z.string(),
  hypervisor: z.string(),
  hypervisorVersion: z.string(),
  uptimeSeconds: unsigned,
})

// Names as existing host interfaces know them.
const hostMetrics = z.object({
  timestamp: time,
  cpu_usage_percent: z.number(),
  memory_used_bytes: unsigned,
  memory_total_bytes: unsigned,
  memory_usage_percent: z.number(),
  disk_read_bytes_per_sec: unsigned,
  disk_write_bytes_per_sec: unsigned,
  network_rx_bytes_per_sec: unsigned,
  network_tx_bytes_per_sec: unsigned,
  load_average_1min: z.number(),
  load_average_5min: z.number(),
  load_average_15min: z.number(),
  vm_count: unsigned.nullable().meta({ description: 'null while libvirt is away' }),
  vm_running_count: unsigned.nullable().meta({ description: 'null while libvirt is away' }),
})

/** Host summary and health, and the probes of service managers. */
export function hostRoutes(host: HostService, vms: Pick<VmService, 'states'>): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/host',
      summary: 'Summary of the host; uptimeSeconds is that of the host',
      responses: { 200: hostInfo },
      async handle({ signal }) {
        const facts = await host.facts(signal)
        const hypervisor = host.hypervisor()
        return ok({
          nodeId: host.nodeId(),
          hostname: facts.hostname,
          managementIp: facts.managementIp,
          cpuModel: facts.cpu.model,
          cpuCores: toUnsigned(facts.cpu.totalThreads),
          memoryTotalBytes: toUnsigned(facts.memory.totalBytes),
          memoryAvailableBytes: toUnsigned(facts.memory.availableBytes),
          osName: facts.osName,
          osVersion: facts.osVersion,
          kernelVersion: facts.kernelVersion,
          uptimeSeconds: toUnsigned(uptime()),
          hypervisorName: hypervisor.name,
          hypervisorVersion: hypervisor.version,
        } satisfies z.input<typeof hostInfo>)
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/host/health',
      summary: 'Health and versions from memory; uptimeSeconds is that of the agent',
      responses: { 200: health },
      handle() {
        const summary = host.health()
        return ok({ ...summary, uptimeSeconds: toUnsigned(summary.uptimeSeconds) })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/host/metrics',
      summary: 'Load of the host now; rates are those since the reading before',
      responses: { 200: hostMetrics },
      handle: async ({ signal }) => ok(await loadNow(host, vms, signal)),
    }),
    route({
      method: 'GET',
      url: '/healthz',
      summary: 'The process answers',
      responses: { 200: z.object({ status: z.literal('ok') }) },
      handle: () => ok({ status: 'ok' }),
    }),
    route({
      method: 'GET',
      url: '/readyz',
      summary: 'Listeners are up and recovery is done; 503 names what is awaited',
      responses: { 200: readiness, 503: readiness },
      handle() {
        const { ready, waitingFor } = host.readiness()
        return { status: ready ? 200 : 503, body: { ready, waitingFor: [...waitingFor] } }
      },
    }),
  ]
}

async function loadNow(
  host: HostService,
  vms: Pick<VmService, 'states'>,
  signal: AbortSignal,
): Promise<z.input<typeof hostMetrics>> {
  const load = host.load()
  const { disks, nics } = await host.counters(signal)
  const states = knownStates(vms)
  const total = <T>(items: readonly T[], value: (item: T) => number) =>
    toUnsigned(Math.round(items.reduce((sum, item) => sum + value(item), 0)))
  return {
    timestamp: toTime(load.observedAt),
    cpu_usage_percent: load.cpuUsagePercent,
    memory_used_bytes: toUnsigned(load.memoryUsedBytes),
    memory_total_bytes: toUnsigned(load.memoryTotalBytes),
    memory_usage_percent: load.memoryTotalBytes === 0 ? 0 : (load.memoryUsedBytes / load.memoryTotalBytes) * 100,
    disk_read_bytes_per_sec: total(disks, (disk) => disk.readBytesPerSecond),
    disk_write_bytes_per_sec: total(disks, (disk) => disk.writeBytesPerSecond),
    network_rx_bytes_per_sec: total(nics, (nic) => nic.rxBytesPerSecond),
    network_tx_bytes_per_sec: total(nics, (nic) => nic.txBytesPerSecond),
    load_average_1min: load.load1,
    load_average_5min: load.load5,
    load_average_15min: load.load15,
    vm_count: states?.length ?? null,
    vm_running_count: states?.filter((state) => state === 'RUNNING').length ?? null,
  }
}

// The load of the host is worth telling without its VMs.
function knownStates(vms: Pick<VmService, 'states'>): PowerState[] | undefined {
  try {
    return vms.states()
  } catch (error) {
    if (isAgentError(error, 'LIBVIRT_UNAVAILABLE')) return undefined
    throw error
  }
}

const readiness = z.object({ ready: z.boolean(), waitingFor: z.array(z.string()) })
