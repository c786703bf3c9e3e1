import { z } from 'zod'

// Stricter than a control plane is: it ignores unknown keys, but an agent that sends some has misread the contract.
const uint32 = z.number().int().min(0).max(0xffff_ffff)
const uint64 = z.union([z.number().int().min(0).max(Number.MAX_SAFE_INTEGER), z.string().regex(/^\d{1,20}$/)])
const text = z.string()
const labels = z.record(z.string(), z.string())

/** RegisterNode. */
export const registerNode = z.strictObject({
  hostname: text.min(1),
  managementIp: z.union([z.ipv4(), z.ipv6()]),
  labels: labels.optional(),
  role: z.strictObject({ compute: z.boolean(), storage: z.boolean().optional(), controlPlane: z.boolean().optional() }),
  cpuInfo: z.strictObject({
    model: text,
    sockets: uint32.min(1),
    coresPerSocket: uint32.min(1),
    threadsPerCore: uint32.min(1),
    totalThreads: uint32.min(1),
    frequencyMhz: uint64,
    features: z.array(text),
  }),
  memoryInfo: z.strictObject({ totalBytes: uint64, allocatableBytes: uint64 }),
  storageDevices: z.array(
    z.strictObject({ path: text.min(1), model: text, serial: text, sizeBytes: uint64, type: z.literal([0, 1, 2]) }),
  ),
  networkDevices: z.array(
    z.strictObject({
      name: text.min(1),
      macAddress: text,
      driver: text,
      speedMbps: uint64,
      mtu: uint32,
      numaNode: uint32,
      sriovCapable: z.boolean(),
      sriovVfsTotal: uint32,
      sriovVfsUsed: uint32,
    }),
  ),
})

/** StoragePoolStatusReport. */
export const poolReport = z.strictObject({
  poolId: text.min(1),
  health: z.literal([0, 1, 2, 3, 4]),
  totalBytes: uint64,
  usedBytes: uint64,
  availableBytes: uint64,
  mountPath: text,
  volumeCount: uint32,
  errorMessage: text,
  lastMountUnix: uint64.optional(),
})

/** UpdateHeartbeat. */
export const updateHeartbeat = z.strictObject({
  nodeId: text.min(1),
  cpuUsagePercent: z.number().min(0).max(100),
  memoryUsedMib: uint64,
  memoryTotalMib: uint64,
  runningVmCount: uint32,
  diskUsedBytes: uint64.optional(),
  diskTotalBytes: uint64.optional(),
  load1m: z.number().min(0),
  load5m: z.number().min(0),
  load15m: z.number().min(0),
  storagePools: z.array(poolReport),
  stateHash: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
})

/** SyncNodeVMs. */
export const syncNodeVms = z.strictObject({
  nodeId: text.min(1),
  vms: z.array(
    z.strictObject({
      id: z.uuid(),
      name: text,
      state: text,
      cpuCores: uint32,
      memoryMib: uint64,
      diskPaths: z.array(text),
    }),
  ),
})

/** ScanLocalImages. */
export const scanLocalImages = z.strictObject({
  nodeId: text.min(1),
  images: z.array(
    z.strictObject({
      path: text.min(1),
      filename: text.min(1),
      sizeBytes: uint64,
      virtualSizeBytes: uint64,
      format: text,
      checksum: text,
      detectedOs: z
        .strictObject({
          family: z.literal([0, 1, 2, 3, 4]),
          distribution: text,
          version: text,
          architecture: text,
          defaultUser: text,
          cloudInitEnabled: z.boolean(),
          provisioningMethod: z.literal([0, 1, 2, 3, 4, 5, 6]),
        })
        .optional(),
      modifiedAt: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    }),
  ),
})

/** POST /api/v1/images/notify: plain JSON in snake_case. */
export const imageNotice = z.strictObject({
  node_id: text.min(1),
  event_type: z.enum(['created', 'updated', 'deleted']),
  id: z.uuid(),
  name: text.min(1),
  filename: text.min(1),
  folder_path: z.string().startsWith('/'),
  size_bytes: uint64,
  format: text.min(1),
  storage_pool_id: text.min(1).optional(),
  path: text.min(1),
  checksum: text.optional(),
  os_family: text.optional(),
  os_distribution: text.optional(),
  os_version: text.optional(),
  timestamp: z.number().int().min(1_600_000_000).max(99_999_999_999),
})

const vmState = z.strictObject({
  id: z.uuid(),
  name: text,
  state: z.literal([0, 1, 2, 3, 4, 5, 6, 7]),
  stateChangeCount: uint64,
  cpuUsagePercent: z.number().min(0),
  memoryUsedBytes: uint64,
  ipAddresses: z.array(text),
  stateChangedAtUnix: uint64,
})

/** NotifyVMChange. */
export const notifyVmChange = z.strictObject({
  nodeId: text.min(1),
  vm: vmState,
  eventType: z.literal([1, 2, 3]),
  timestampUnix: uint64,
  previousState: z.literal([0, 1, 2, 3, 4, 5, 6, 7]).optional(),
})

/** NotifyStorageChange. */
export const notifyStorageChange = z.strictObject({
  nodeId: text.min(1),
  pool: poolReport,
  eventType: z.literal([1, 2, 3]),
  timestampUnix: uint64,
})

/** SyncFullState. */
export const syncFullState = z.strictObject({
  nodeId: text.min(1),
  hostInfo: z.strictObject({
    hostname: text.min(1),
    managementIp: text,
    memoryTotalBytes: uint64,
    memoryAvailableBytes: uint64,
    cpuCores: uint32.min(1),
    cpuUsagePercent: z.number().min(0).max(100),
  }),
  vms: z.array(vmState),
  storagePools: z.array(poolReport),
  stateHash: z.string().regex(/^[0-9a-f]{16}$/),
})

// ---- answers of a node to what control planes pass on to it --------------------------------------------------------------

const isoTime = z.iso.datetime()
// No control plane acts on these texts by itself, but people read them, and some are stored.
const failure = text.min(1)

/** GET /api/v1/vms/{id}/logs. */
export const vmLogs = z.strictObject({
  vmId: z.uuid(),
  vmName: text.min(1),
  qemuLog: text,
  logPath: text.startsWith('/'),
  logSizeBytes: uint64,
  linesReturned: uint32.max(1000),
  truncated: z.boolean(),
  lastModified: isoTime.optional(),
})

/** GET …/qemu-agent/ping. */
export const qemuAgentPing = z.discriminatedUnion('available', [
  z.strictObject({ available: z.literal(true) }),
  z.strictObject({ available: z.literal(false), error: failure }),
])

/** GET …/agent/ping and POST …/agent/refresh. */
export const agentPing = z.discriminatedUnion('connected', [
  z.strictObject({ connected: z.literal(false), error: failure }),
  z.strictObject({
    connected: z.literal(true),
    version: text.min(1),
    hostname: text.optional(),
    osName: text.optional(),
    osVersion: text.optional(),
    kernelVersion: text.optional(),
    architecture: text.optional(),
    ipAddresses: z.array(z.union([z.ipv4(), z.ipv6()])).optional(),
    resourceUsage: z
      .strictObject({
        cpuUsagePercent: z.number().min(0),
        memoryTotalBytes: uint64,
        memoryUsedBytes: uint64,
        memoryAvailableBytes: uint64,
        swapTotalBytes: uint64,
        swapUsedBytes: uint64,
        loadAvg1: z.number().min(0),
        loadAvg5: z.number().min(0),
        loadAvg15: z.number().min(0),
        disks: z.array(
          z.strictObject({
            mountPoint: text.min(1),
            device: text.min(1),
            filesystem: text,
            totalBytes: uint64,
            usedBytes: uint64,
            availableBytes: uint64,
            usagePercent: z.number().min(0).max(100),
          }),
        ),
        processCount: uint32,
        uptimeSeconds: uint64,
      })
      .optional(),
    capabilities: z.array(text).optional(),
    latestAgentVersion: text.optional(),
  }),
])

/** POST …/agent/shutdown and …/agent/reboot. */
export const agentAction = z.discriminatedUnion('success', [
  z.strictObject({ success: z.literal(true), message: text.min(1) }),
  z.strictObject({ success: z.literal(false), message: text.min(1), error: failure }),
])

/** POST …/agent/install: the control plane shows `error` when `success` is false. */
export const agentInstall = z.discriminatedUnion('success', [
  z.strictObject({ success: z.literal(true), message: text.min(1), method: text.min(1) }),
  z.strictObject({ success: z.literal(false), message: text.min(1), error: failure, method: text.min(1) }),
])

/** POST …/agent/update. */
export const agentUpdate = z.strictObject({
  success: z.boolean(),
  message: text.min(1),
  newVersion: text.optional(),
  error: failure.optional(),
})

/** POST …/cdrom/mount-agent-iso. */
export const mountAgentIso = z.strictObject({
  success: z.boolean(),
  message: text.min(1),
  isoPath: text.optional(),
  device: text.optional(),
  error: failure.optional(),
})

/** GET …/agent/logs. */
export const agentLogs = z.strictObject({
  success: z.boolean(),
  lines: z.array(text).max(1000),
  error: failure.optional(),
})

/** GET …/agent/files/list. */
export const listFiles = z.strictObject({
  success: z.boolean(),
  path: text.startsWith('/'),
  entries: z.array(
    z.strictObject({
      name: text.min(1),
      path: text.startsWith('/'),
      isDirectory: z.boolean(),
      isSymlink: z.boolean(),
      sizeBytes: uint64,
      mode: uint32,
      modifiedAt: isoTime.optional(),
      owner: text.optional(),
      group: text.optional(),
    }),
  ),
  error: failure.optional(),
})

/** GET …/agent/files/read. */
export const readFile = z.discriminatedUnion('success', [
  z.strictObject({ success: z.literal(true), path: text.startsWith('/'), content: z.base64(), sizeBytes: uint64 }),
  z.strictObject({ success: z.literal(false), path: text, error: failure }),
])

/** POST …/execute. */
export const execute = z.strictObject({
  success: z.boolean(),
  exitCode: z.int32(),
  stdout: text,
  stderr: text,
  timedOut: z.boolean(),
  durationMs: uint64,
  error: failure.optional(),
})

/** GET /api/v1/updates/check. */
export const updatesCheck = z.strictObject({
  available: z.boolean(),
  currentVersion: text.min(1),
  latestVersion: text.optional(),
  channel: text.min(1),
  components: z.array(
    z.strictObject({ name: text, currentVersion: text.optional(), newVersion: text, sizeBytes: uint64 }),
  ),
  fullImageAvailable: z.boolean(),
  totalDownloadSize: uint64,
  releaseNotes: text.optional(),
})

/** GET /api/v1/updates/version. */
export const updatesVersion = z.strictObject({
  currentVersion: text.min(1),
  channel: text.min(1),
  hostname: text.min(1),
})

/** GET /api/v1/updates/status. */
export const updatesStatus = z.strictObject({
  status: z.enum([
    'idle',
    'checking',
    'up_to_date',
    'available',
    'downloading',
    'applying',
    'complete',
    'error',
    'reboot_required',
  ]),
  message: text.optional(),
  progress: z
    .strictObject({
      currentComponent: text,
      downloadedBytes: uint64,
      totalBytes: uint64,
      percentage: z.int().min(0).max(100),
    })
    .optional(),
})

export type RegisterNode = z.infer<typeof registerNode>
export type UpdateHeartbeat = z.infer<typeof updateHeartbeat>
export type PoolReport = z.infer<typeof poolReport>
export type SyncNodeVms = z.infer<typeof syncNodeVms>
export type ScanLocalImages = z.infer<typeof scanLocalImages>
export type ImageNotice = z.infer<typeof imageNotice>
