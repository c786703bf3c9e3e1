import type { VmProblem } from '../core/events.ts'
import type { PowerState, VmInfo, VmUsage } from '../core/model.ts'
import type { DomainFacts } from './domain-info.ts'
import { isOff } from './libvirt-domain.ts'

/** What is known of one domain. */
export interface DomainEntry {
  readonly facts: DomainFacts
  /** False when libvirt lists the domain but its definition cannot be had: then `facts` are old, or hardly more than its name. */
  readonly readable: boolean
  readonly state: PowerState
  /** State as events have told it; it may lag behind `state`, which is also read. */
  readonly toldState: PowerState
  readonly startedAt: number | undefined
  readonly observedAt: number
}

/** An entry as callers see it. */
export function vmInfo(entry: DomainEntry, usage: VmUsage | undefined, problems: readonly VmProblem[] = []): VmInfo {
  const { facts, state, startedAt, observedAt } = entry
  return {
    vmId: facts.vmId,
    name: facts.name,
    state,
    managed: facts.managed,
    autostart: facts.autostart,
    cpuCount: facts.cpuCount,
    memoryBytes: facts.memoryBytes,
    labels: facts.labels,
    disks: facts.disks.map(
      ({ poolId: _pool, volume: _volume, owned: _owned, place: _place, monitors: _monitors, alias: _alias, ...disk }) =>
        disk,
    ),
    ...(usage === undefined || isOff(state) ? {} : { usage }),
    ...(problems.length === 0 || isOff(state) ? {} : { problems }),
    ...(startedAt === undefined ? {} : { startedAt }),
    observedAt,
  }
}

/** What can be said of a domain whose definition cannot be had. */
export function unreadableFacts(vmId: string, name: string): DomainFacts {
  const unknown = { managed: false, autostart: false, specDigest: '', cpuCount: 0, memoryBytes: 0, labels: {} }
  return { vmId, name, ...unknown, disks: [], cdroms: [], nics: [], layers: [], paths: [] }
}
