import type { PowerState, VmSnapshot } from '../core/model.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { parseDomain, type DomainFacts } from './domain-info.ts'
import { readXml, toNode } from './read-xml.ts'

/** A snapshot as libvirt knows it, with the VM as it was then. */
export interface SnapshotFacts extends VmSnapshot {
  /** Target names of the disks that are kept inside their own image files. */
  readonly internal: readonly string[]
  /** Target names of disks that go on in other files since; `memory` for one in a file, which this agent does not make. */
  readonly external: readonly string[]
  /** The definition of then; undefined when libvirt did not keep it. */
  readonly domain: DomainFacts | undefined
}

const STATES: Readonly<Record<string, PowerState>> = {
  running: 'RUNNING',
  blocked: 'RUNNING',
  paused: 'PAUSED',
  shutdown: 'RUNNING',
  shutoff: 'STOPPED',
  crashed: 'CRASHED',
  pmsuspended: 'SUSPENDED',
  // It ran; what was in its memory was not kept.
  'disk-snapshot': 'RUNNING',
}

/** Reads a `<domainsnapshot>` of libvirt. INTERNAL when it is not XML. Pure. */
export function parseSnapshot(xml: string): SnapshotFacts {
  const snapshot = readXml(xml)
  const text = (...path: string[]) => snapshot.first(...path)?.text ?? ''
  const disks = snapshot.first('disks')?.all('disk') ?? []
  const kept = (how: string) =>
    disks.filter((disk) => disk.attribute('snapshot') === how).map((disk) => disk.attribute('name') ?? '')
  const memory = snapshot.first('memory')?.attribute('snapshot')
  const domain = snapshot.first('domain')
  return {
    id: text('name'),
    name: text('name'),
    description: text('description'),
    createdAt: Number(text('creationTime')) * 1000,
    vmState: STATES[text('state')] ?? 'UNKNOWN',
    parentId: text('parent', 'name'),
    hasMemory: memory === 'internal' || memory === 'external',
    internal: kept('internal'),
    external: [...kept('external'), ...(memory === 'external' ? ['memory'] : [])],
    domain: domain === undefined ? undefined : parseDomain(writeXml(toNode(domain))),
  }
}
