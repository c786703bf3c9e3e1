import os from 'node:os'
import { z } from 'zod'
import type { HostDiscovery } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import type { ClusterService, HostService } from '../../services/contracts.ts'
import { bearerToken, requireLocal } from '../bearer.ts'
import { ok, route, type Route } from '../route.ts'
import { optionalText, time, toTime, unsigned } from '../schemas.ts'

const ping = z.object({
  status: z.literal('ok'),
  version: z.string(),
  message: z.string(),
  apiVersion: z.literal('v1'),
  hostname: z.string(),
  managementIp: z.string(),
  registrationApiSupported: z.literal(true),
  buildInfo: z.object({ package: z.string(), version: z.string(), target: z.string(), os: z.string() }),
  timestamp: time,
})

const token = z.object({
  token: z.string(),
  createdAt: time,
  expiresAt: time,
  expiresInSeconds: unsigned,
  hostname: z.string(),
  managementIp: z.string(),
})

const discovery = z.object({
  hostname: z.string(),
  managementIp: z.string(),
  cpu: z.object({
    model: z.string(),
    vendor: z.string(),
    cores: unsigned,
    threads: unsigned,
    sockets: unsigned,
    frequencyMhz: unsigned,
    features: z.array(z.string()),
    architecture: z.string(),
  }),
  memory: z.object({
    totalBytes: unsigned,
    availableBytes: unsigned,
    usedBytes: unsigned,
    swapTotalBytes: unsigned,
    swapUsedBytes: unsigned,
    eccEnabled: z.boolean(),
    dimmCount: unsigned,
  }),
  storage: z.object({
    local: z.array(
      z.object({
        name: z.string(),
        model: z.string(),
        serial: z.string(),
        sizeBytes: unsigned,
        diskType: z.enum(['HDD', 'SSD', 'NVME']),
        interface: z.string(),
        isRemovable: z.boolean(),
        smartStatus: z.enum(['PASSED', 'FAILED', 'UNKNOWN']),
        partitions: z.array(
          z.object({
            name: z.string(),
            mountPoint: z.string(),
            filesystem: z.string(),
            sizeBytes: unsigned,
            usedBytes: unsigned,
          }),
        ),
      }),
    ),
    nfs: z.array(
      z.object({
        mountPoint: z.string(),
        server: z.string(),
        exportPath: z.string(),
        sizeBytes: unsigned,
        usedBytes: unsigned,
        availableBytes: unsigned,
      }),
    ),
    iscsi: z.array(
      z.object({
        targetIqn: z.string(),
        portal: z.string(),
        devicePath: z.string(),
        sizeBytes: unsigned,
        lun: unsigned,
      }),
    ),
  }),
  network: z.array(
    z.object({
      name: z.string(),
      macAddress: z.string(),
      driver: z.string(),
      speedMbps: unsigned.nullable(),
      linkState: z.enum(['up', 'down']),
      pciAddress: z.string().nullable(),
      sriovCapable: z.boolean(),
      sriovVfs: unsigned,
    }),
  ),
  gpus: z.array(
    z.object({
      name: z.string(),
      vendor: z.string(),
      pciAddress: z.string(),
      driver: z.string(),
      memoryBytes: unsigned,
      vgpuProfiles: z.string().meta({ description: 'separated by commas' }),
      passthroughCapable: z.boolean(),
    }),
  ),
})

const completion = z.object({
  token: z.string().max(200),
  controlPlaneAddress: z.string().max(2000),
  nodeId: optionalText,
  clusterName: optionalText,
})
const completed = z.object({
  success: z.boolean(),
  message: z.string(),
  nodeId: z.string(),
  hostname: z.string(),
})

/** Groups of four letters in a token of these routes. */
const TOKEN_GROUPS = 3
// Whoever keeps answers must not keep tokens.
const NO_STORE = { 'cache-control': 'no-store' }

/** How a control plane looks at a host before it adds it. */
export function registrationRoutes(cluster: ClusterService, host: HostService): Route[] {
  const place = async (signal: AbortSignal) => {
    const { hostname, managementIp } = await host.facts(signal)
    return { hostname, managementIp }
  }
  return [
    route({
      method: 'GET',
      url: '/api/v1/registration/ping',
      summary: 'That a host is here that can be added; needs no token',
      responses: { 200: ping },
      async handle({ signal }) {
        const { version } = host.health()
        return ok({
          status: 'ok',
          version,
          message: 'limiquantix-node is here',
          apiVersion: 'v1',
          ...(await place(signal)),
          registrationApiSupported: true,
          buildInfo: { package: 'limiquantix-node', version, target: os.machine(), os: os.platform() },
          timestamp: toTime(Date.now()),
        })
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/registration/token',
      summary: 'A new registration token in place of the one before; on the unix socket only',
      responses: { 200: token },
      async handle(input) {
        requireLocal(input, 'limiquantix-node token')
        const made = await cluster.createToken(TOKEN_GROUPS)
        const body = { ...made, createdAt: toTime(made.createdAt), expiresAt: toTime(made.expiresAt) }
        return { status: 200, headers: NO_STORE, body: { ...body, ...(await place(input.signal)) } }
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/registration/token',
      summary: 'Whether the bearer token is good',
      responses: { 200: token },
      async handle(input) {
        const given = bearerToken(input)
        const life = await cluster.checkToken(given)
        const body = { token: given, ...life, createdAt: toTime(life.createdAt), expiresAt: toTime(life.expiresAt) }
        return { status: 200, headers: NO_STORE, body: { ...body, ...(await place(input.signal)) } }
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/registration/discovery',
      summary: 'The hardware of the host, for the bearer of the token',
      responses: { 200: discovery },
      async handle(input) {
        await cluster.checkToken(bearerToken(input))
        return ok(toDiscoveryBody(await cluster.discover(input.signal)))
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/registration/complete',
      summary: 'Joins the control plane, by the token in the body; the node id is that which the control plane gives',
      body: completion,
      responses: { 200: completed },
      async handle({ body, signal }) {
        await cluster.checkToken(body.token)
        const { nodeId } = await cluster.join(body.controlPlaneAddress, body.clusterName, signal)
        const { hostname } = await place(signal)
        return ok({ success: true, message: 'the host is registered', nodeId, hostname })
      },
    }),
  ]
}

// Types as the contract has them: whole numbers, null only where it allows that.
function toDiscoveryBody({ host, hardware, sizes }: HostDiscovery): z.input<typeof discovery> {
  const { cpu, memory } = host
  return {
    hostname: host.hostname,
    managementIp: host.managementIp,
    cpu: {
      model: cpu.model,
      vendor: cpu.vendor,
      cores: toUnsigned(cpu.sockets * cpu.coresPerSocket),
      threads: toUnsigned(cpu.totalThreads),
      sockets: toUnsigned(cpu.sockets),
      frequencyMhz: toUnsigned(cpu.frequencyMhz),
      features: [...cpu.features],
      architecture: cpu.architecture,
    },
    memory: {
      totalBytes: toUnsigned(memory.totalBytes),
      availableBytes: toUnsigned(memory.availableBytes),
      usedBytes: toUnsigned(memory.usedBytes),
      swapTotalBytes: toUnsigned(memory.swapTotalBytes),
      swapUsedBytes: toUnsigned(memory.swapUsedBytes),
      eccEnabled: hardware.eccEnabled,
      dimmCount: toUnsigned(hardware.dimmCount),
    },
    storage: {
      local: hardware.disks.map(({ type, removable, ...disk }) => ({
        ...disk,
        sizeBytes: toUnsigned(disk.sizeBytes),
        diskType: type,
        isRemovable: removable,
        partitions: disk.partitions.map((part) => ({
          ...part,
          sizeBytes: toUnsigned(part.sizeBytes),
          usedBytes: toUnsigned(part.usedBytes),
        })),
      })),
      nfs: hardware.nfs.map((mount) => {
        const seen = sizes.get(mount.mountPoint)
        return {
          ...mount,
          sizeBytes: toUnsigned(seen?.totalBytes ?? 0),
          usedBytes: toUnsigned(seen?.usedBytes ?? 0),
          availableBytes: toUnsigned(seen?.availableBytes ?? 0),
        }
      }),
      iscsi: hardware.iscsi.map((lun) => ({ ...lun, sizeBytes: toUnsigned(lun.sizeBytes), lun: toUnsigned(lun.lun) })),
    },
    network: hardware.adapters.map((nic) => ({
      name: nic.name,
      macAddress: nic.macAddress,
      driver: nic.driver,
      speedMbps: nic.speedMbps > 0 ? toUnsigned(nic.speedMbps) : null,
      linkState: nic.up ? 'up' : 'down',
      pciAddress: nic.pciAddress || null,
      sriovCapable: nic.sriovVfsTotal > 0,
      sriovVfs: toUnsigned(nic.sriovVfsTotal),
    })),
    gpus: hardware.gpus.map(({ vgpuProfiles, ...gpu }) => ({
      ...gpu,
      memoryBytes: toUnsigned(gpu.memoryBytes),
      vgpuProfiles: vgpuProfiles.join(','),
    })),
  }
}
