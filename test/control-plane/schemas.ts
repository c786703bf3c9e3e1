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
      detectedOs: z.record(z.string(), z.unknown()).optional(),
      modifiedAt: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    }),
  ),
})

export type RegisterNode = z.infer<typeof registerNode>
export type UpdateHeartbeat = z.infer<typeof updateHeartbeat>
export type PoolReport = z.infer<typeof poolReport>
export type SyncNodeVms = z.infer<typeof syncNodeVms>
export type ScanLocalImages = z.infer<typeof scanLocalImages>
