import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { HostFacts, HostLoad, PoolInfo, PowerState, VmInfo } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { missingReport, poolReport, type PoolReport } from './heartbeat.ts'

/** VMPowerState of the contract (3.6). */
const POWER_STATES: Readonly<Record<PowerState, number>> = {
  UNKNOWN: 0,
  RUNNING: 1,
  STOPPED: 2,
  PAUSED: 3,
  SUSPENDED: 4,
  CRASHED: 5,
}
/** The state in which deleted VMs are told. */
export const GONE_STATE = POWER_STATES.STOPPED

/** What a control plane was told of one VM or pool, as far as a later change of it is worth telling. */
export interface ToldState {
  /** VMPowerState of a VM, PoolHealth of a pool. */
  readonly state: number
  readonly name: string
  /** How many states of it were told so far. */
  readonly changes: number
  /** Of a VM; absent = none. They are no part of its state: neither counted nor hashed. */
  readonly addresses?: readonly string[]
  /** Unix seconds. */
  readonly changedAt: number
}

/** A VM in NotifyVMChange and SyncFullState. */
export interface VmReport {
  readonly id: string
  readonly name: string
  readonly state: number
  readonly stateChangeCount: number
  readonly cpuUsagePercent: number
  readonly memoryUsedBytes: number
  readonly ipAddresses: readonly string[]
  readonly stateChangedAtUnix: number
}

/** HostInfo of SyncFullState. */
export interface HostReport {
  readonly hostname: string
  readonly managementIp: string
  readonly memoryTotalBytes: number
  readonly memoryAvailableBytes: number
  readonly cpuCores: number
  readonly cpuUsagePercent: number
}

/**
 * What a VM is now, as `told` before; the same object when nothing of it is worth telling again. `addresses` are undefined while they are not known, as after a restart of the agent: then those that were told count
 * as long as the VM is not off.
 */
export function vmStateNow(
  vm: VmInfo,
  addresses: readonly string[] | undefined,
  told: ToldState | undefined,
  nowMs: number,
): ToldState {
  const state = stateNow({ state: POWER_STATES[vm.state], name: vm.name }, told, nowMs)
  const before = told?.addresses ?? []
  const now = vm.state === 'STOPPED' || vm.state === 'CRASHED' ? [] : (addresses ?? before)
  // The order is that of the guest, which means nothing.
  if (isDeepStrictEqual(now.toSorted(), before.toSorted())) {
    return state === told || before.length === 0 ? state : { ...state, addresses: before }
  }
  return { ...state, addresses: now }
}

/** What a pool is now; see vmStateNow. */
export function poolStateNow(pool: PoolInfo, told: ToldState | undefined, nowMs: number): ToldState {
  return stateNow({ state: poolReport(pool).health, name: pool.config.kind }, told, nowMs)
}

function stateNow(now: Pick<ToldState, 'state' | 'name'>, told: ToldState | undefined, nowMs: number): ToldState {
  if (told?.state === now.state && told.name === now.name) return told
  return { ...now, changes: (told?.changes ?? 0) + 1, changedAt: Math.floor(nowMs / 1000) }
}

/** A VM as control planes are told of it. */
export function vmReport(vm: VmInfo, { state, changes, changedAt, addresses = [] }: ToldState): VmReport {
  return {
    id: vm.vmId,
    name: vm.name,
    state,
    stateChangeCount: changes,
    cpuUsagePercent: Math.round((vm.usage?.cpuUsagePercent ?? 0) * 100) / 100,
    memoryUsedBytes: toUnsigned(vm.usage?.memoryUsedBytes ?? 0),
    ipAddresses: addresses,
    stateChangedAtUnix: changedAt,
  }
}

/** A VM that is gone. */
export function goneReport(id: string, { name, changes }: ToldState, nowMs: number): VmReport {
  const nothing = { cpuUsagePercent: 0, memoryUsedBytes: 0, ipAddresses: [] }
  const at = { stateChangeCount: changes + 1, stateChangedAtUnix: Math.floor(nowMs / 1000) }
  return { id, name, state: GONE_STATE, ...nothing, ...at }
}

/** A pool that is not on this host any more. There is no event for that: it is told as one that was unmounted. */
export function gonePoolReport(poolId: string): PoolReport {
  return missingReport({ poolId, message: 'the pool was taken out of use on this host' })
}

/** HostInfo from the host's facts and load. */
export function hostReport(
  { hostname, managementIp, cpu }: Pick<HostFacts, 'hostname' | 'managementIp' | 'cpu'>,
  load: HostLoad,
): HostReport {
  return {
    hostname,
    managementIp,
    memoryTotalBytes: toUnsigned(load.memoryTotalBytes),
    memoryAvailableBytes: toUnsigned(load.memoryTotalBytes - load.memoryUsedBytes),
    cpuCores: toUnsigned(cpu.totalThreads),
    cpuUsagePercent: Math.round(load.cpuUsagePercent * 100) / 100,
  }
}

/** Ids that control planes leave out of everything: no UUID, or all zeros or ones. */
export function isRealId(id: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) && !/^(?:[0-]+|[f-]+)$/.test(id)
}

/** The state hash of contract 3.6: two sides that have the same VMs in the same states have the same. */
export function stateHash(vms: Iterable<readonly [id: string, told: ToldState]>): string {
  const lines = [...vms].map(([id, { state, changes }]) => `${id}:${state}:${changes}\n`).sort()
  return createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16)
}
