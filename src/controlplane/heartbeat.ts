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
  /** Pools that are assigned to this host and not on it. */
  missingPools?(): readonly MissingPool[]
  /** Of what the control plane was told of VMs (state-report.ts); undefined while nothing was. */
  stateHash?(): string | undefined
}

/** A pool the control plane expects here; `message` says for an admin why it is not. */
export interface MissingPool {
  readonly poolId: string
  readonly message: string
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
  readonly stateHash?: string
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
  const stateHash = source.stateHash?.()
  return {
    nodeId,
    cpuUsagePercent: round(load.cpuUsagePercent),
    memoryUsedMib: Math.floor(load.memoryUsedBytes / MIB),
    memoryTotalMib: Math.floor(load.memoryTotalBytes / MIB),
    runningVmCount: toUnsigned(source.runningVmCount()),
    load1m: round(load.load1),
    load5m: round(load.load5),
    load15m: round(load.load15),
    storagePools: [...source.pools().map(poolReport), ...(source.missingPools?.() ?? []).map(missingReport)],
    ...(stateHash === undefined ? {} : { stateHash }),
  }
}

/** A pool as control planes are told of it. An unsigned integer that is negative or fractional would cost the whole message. */
export function poolReport({ config, mountPath, observation }: PoolInfo): PoolReport {
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

/** A pool that is not on this host: one that is not reported counts as unmounted too, but nobody is told why. */
export function missingReport({ poolId, message }: MissingPool): PoolReport {
  const nothing = { totalBytes: 0, usedBytes: 0, availableBytes: 0, mountPath: '', volumeCount: 0 }
  return { poolId, health: HEALTH_NUMBERS.UNMOUNTED, ...nothing, errorMessage: neutralise(message) }
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
