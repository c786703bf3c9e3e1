import { z } from 'zod'
import type { GuestFacts, GuestFile, LogTail } from '../../core/model.ts'

const whole = z.int().nonnegative()

/** What an answer says of a program whose output is not all there (MAX_OUTPUT_BYTES). */
export const OUTPUT_CUT = 'the output was cut at 1 MiB'

/** VmLogsResponse of the contract. */
export const vmLogsBody = z.object({
  vmId: z.string(),
  vmName: z.string(),
  qemuLog: z.string(),
  logPath: z.string(),
  logSizeBytes: whole,
  linesReturned: whole,
  truncated: z.boolean(),
  lastModified: z.string().optional(),
})

/** QuantixAgentPingResponse. */
export const agentPingBody = z.object({
  connected: z.boolean(),
  version: z.string().optional(),
  hostname: z.string().optional(),
  osName: z.string().optional(),
  osVersion: z.string().optional(),
  kernelVersion: z.string().optional(),
  architecture: z.string().optional(),
  ipAddresses: z.array(z.string()).optional(),
  resourceUsage: z
    .object({
      cpuUsagePercent: z.number(),
      memoryTotalBytes: whole,
      memoryUsedBytes: whole,
      memoryAvailableBytes: whole,
      swapTotalBytes: whole,
      swapUsedBytes: whole,
      loadAvg1: z.number(),
      loadAvg5: z.number(),
      loadAvg15: z.number(),
      disks: z.array(
        z.object({
          mountPoint: z.string(),
          device: z.string(),
          filesystem: z.string(),
          totalBytes: whole,
          usedBytes: whole,
          availableBytes: whole,
          usagePercent: z.number(),
        }),
      ),
      processCount: whole,
      uptimeSeconds: whole,
    })
    .optional(),
  capabilities: z.array(z.string()).optional(),
  error: z.string().optional(),
})

/** Of the calls that make the guest do something. */
export const actionBody = z.object({ success: z.boolean(), message: z.string(), error: z.string().optional() })

/** AgentLogsResponse. */
export const agentLogsBody = z.object({
  success: z.boolean(),
  lines: z.array(z.string()),
  error: z.string().optional(),
})

/** ListFilesResponse. */
export const listFilesBody = z.object({
  success: z.boolean(),
  path: z.string(),
  entries: z.array(
    z.object({
      name: z.string(),
      path: z.string(),
      isDirectory: z.boolean(),
      isSymlink: z.boolean(),
      sizeBytes: whole,
      mode: whole,
      modifiedAt: z.string().optional(),
      owner: z.string().optional(),
      group: z.string().optional(),
    }),
  ),
  error: z.string().optional(),
})

/** ReadFileResponse; `content` is base64. */
export const readFileBody = z.object({
  success: z.boolean(),
  path: z.string(),
  content: z.base64().optional(),
  sizeBytes: whole.optional(),
  error: z.string().optional(),
})

/** ExecuteCommandResponse; `exitCode` is -1 when it is not known. */
export const executeBody = z.object({
  success: z.boolean(),
  exitCode: z.int(),
  stdout: z.string(),
  stderr: z.string(),
  timedOut: z.boolean(),
  durationMs: whole,
  error: z.string().optional(),
})

export function toVmLogsBody(vmId: string, log: LogTail & { vmName: string }): z.infer<typeof vmLogsBody> {
  return {
    vmId,
    vmName: log.vmName,
    qemuLog: log.text,
    logPath: log.path,
    logSizeBytes: log.sizeBytes,
    linesReturned: log.lines,
    truncated: log.truncated,
    ...(log.modifiedAt === undefined ? {} : { lastModified: new Date(log.modifiedAt).toISOString() }),
  }
}

export function toAgentPingBody({
  usage,
  capabilities,
  ipAddresses,
  ...facts
}: GuestFacts): z.infer<typeof agentPingBody> {
  return {
    connected: true,
    ...facts,
    capabilities: [...capabilities],
    ...(ipAddresses === undefined ? {} : { ipAddresses: [...ipAddresses] }),
    ...(usage === undefined
      ? {}
      : {
          resourceUsage: {
            ...usage,
            disks: usage.disks.map((disk) => ({ ...disk, usagePercent: (disk.usedBytes / disk.totalBytes) * 100 })),
          },
        }),
  }
}

export function toDirectoryEntry({
  modifiedAt,
  ...entry
}: GuestFile): z.infer<typeof listFilesBody>['entries'][number] {
  return { ...entry, ...(modifiedAt === undefined ? {} : { modifiedAt: new Date(modifiedAt).toISOString() }) }
}
