import { uptime } from 'node:os'
import { z } from 'zod'
import { toUnsigned } from '../../core/wire-number.ts'
import type { HostService } from '../../services/contracts.ts'
import { ok, route, type Route } from '../route.ts'
import { unsigned } from '../schemas.ts'

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

/** Host summary and health, and the probes of service managers. */
export function hostRoutes(host: HostService): Route[] {
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

const readiness = z.object({ ready: z.boolean(), waitingFor: z.array(z.string()) })
