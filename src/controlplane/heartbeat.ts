import { z } from 'zod'
import { MIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import type { HostLoad, PoolHealth, PoolInfo } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { neutralise } from '../core/wire-text.ts'
import type { ConnectCallOptions, ConnectClient } from '../platform/connect-client.ts'

/** What a heartbeat tells: observations that are in memory at that moment. */
export interface HeartbeatSource {
  load(): HostLoad
  pools(): readonly PoolInfo[]
  runningVmCount(): number
}

/** UpdateHeartbeat's request. */
export interface HeartbeatRequest {
  readonly nodeId: string
  readonly cpuUsagePercent: number
  readonly memoryUsedMib: number
  readonly memoryTotalMib: number
  readonly runningVmCount: number
  readonly load1m: number
  readonly load5m: number
  readonly load15m: number
  readonly storagePools: readonly PoolReport[]
}

/** StoragePoolStatusReport. */
export interface PoolReport {
  readonly poolId: string
  /** HEALTH_UNKNOWN 0, HEALTHY 1, DEGRADED 2, ERROR 3, UNMOUNTED 4. */
  readonly health: number
  readonly totalBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
  readonly mountPath: string
  readonly volumeCount: number
  readonly errorMessage: string
}

/** What the control plane said to a heartbeat. */
export interface HeartbeatAnswer {
  readonly nodeId: string
  /** Seconds until the next one; undefined when it did not say. */
  readonly intervalSeconds: number | undefined
  /** All pools that are assigned to this node, in any phase. */
  readonly assignedPoolIds: readonly string[]
  readonly requestFullSync: boolean
  readonly serverTimeUnix: number
}

const UPDATE_HEARTBEAT = 'limiquantix.compute.v1.NodeService/UpdateHeartbeat'
const HEALTH_NUMBERS: Readonly<Record<PoolHealth, number>> = {
  UNKNOWN: 0,
  HEALTHY: 1,
  DEGRADED: 2,
  ERROR: 3,
  UNMOUNTED: 4,
}

// Numbers may come as strings; zero values, false and empty lists are left out.
const heartbeatAnswer = z.object({
  acknowledged: z.boolean().default(false),
  serverTimeUnix: z.coerce.number().int().default(0),
  heartbeatIntervalSecs: z.coerce.number().nonnegative().default(0),
  assignedPoolIds: z.array(z.string()).default([]),
  requestFullSync: z.boolean().default(false),
})

/** Builds the body from what `source` has at this moment. Waits for nothing. */
export function heartbeatRequest(nodeId: string, source: HeartbeatSource): HeartbeatRequest {
  const load = source.load()
  return {
    nodeId,
    cpuUsagePercent: round(load.cpuUsagePercent),
    memoryUsedMib: Math.floor(load.memoryUsedBytes / MIB),
    memoryTotalMib: Math.floor(load.memoryTotalBytes / MIB),
    runningVmCount: toUnsigned(source.runningVmCount()),
    load1m: round(load.load1),
    load5m: round(load.load5),
    load15m: round(load.load15),
    storagePools: source.pools().map(poolReport),
  }
}

// An unsigned integer that is negative or fractional would cost the whole heartbeat.
function poolReport({ config, mountPath, observation }: PoolInfo): PoolReport {
  return {
    poolId: config.poolId,
    health: HEALTH_NUMBERS[observation.health],
    totalBytes: toUnsigned(observation.totalBytes),
    usedBytes: toUnsigned(observation.usedBytes),
    availableBytes: toUnsigned(observation.availableBytes),
    mountPath,
    volumeCount: toUnsigned(observation.volumeCount),
    errorMessage: observation.health === 'HEALTHY' ? '' : neutralise(observation.message || observation.reason),
  }
}

/** Sends one heartbeat. An answer without an acknowledgement is CONTROL_PLANE_REFUSED; else the errors of ConnectClient.call. */
export async function sendHeartbeat(
  client: ConnectClient,
  request: HeartbeatRequest,
  options: ConnectCallOptions,
): Promise<HeartbeatAnswer> {
  const answer = await client.call(UPDATE_HEARTBEAT, request, heartbeatAnswer, options)
  if (!answer.acknowledged)
    throw new AgentError('CONTROL_PLANE_REFUSED', 'UpdateHeartbeat was answered without an acknowledgement')
  return {
    nodeId: request.nodeId,
    intervalSeconds: answer.heartbeatIntervalSecs > 0 ? answer.heartbeatIntervalSecs : undefined,
    assignedPoolIds: answer.assignedPoolIds,
    requestFullSync: answer.requestFullSync,
    serverTimeUnix: answer.serverTimeUnix,
  }
}

function round(value: number): number {
  return Number.isFinite(value) ? Math.round(value * 100) / 100 : 0
}
