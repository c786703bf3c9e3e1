import { AgentError } from '../core/errors.ts'
import type { DomainHalf, DomainHalves } from './domain-halves.ts'
import type { DomainDisk } from './domain-info.ts'
import type { SnapshotFacts } from './snapshot-info.ts'

/** Where a snapshot of a VM is kept: inside its disks' own files, or by overlays, files that the disks go on in. */
export type SnapshotKind = 'internal' | 'external'

/** What decides about the kind. */
export interface SnapshotCase {
  readonly halves: DomainHalves
  /** Those that the VM has. */
  readonly snapshots: readonly Pick<SnapshotFacts, 'internal' | 'external'>[]
  /** Undefined: as the kind has it. */
  readonly includeMemory: boolean | undefined
  /** Why a disk can have no overlay; undefined when it can. */
  readonly noOverlay: (disk: DomainDisk) => string | undefined
}

type Obstacle = (snapshot: SnapshotCase) => string | undefined

/**
 * What stands in the way of each kind, in the order of preference: internal ones have the memory of a running VM, cannot lose a file, and leave the disk as fast as it was; external ones are quick, and work with raw files
 * and UEFI firmware. They do not mix: an internal one lives in a file that a merge of external ones would change, and going back to it would change what overlays stand on.
 */
const KINDS: readonly { readonly kind: SnapshotKind; readonly obstacles: readonly Obstacle[] }[] = [
  {
    kind: 'internal',
    obstacles: [
      ({ snapshots }) => (snapshots.some(isExternal) ? 'has snapshots in files of their own' : undefined),
      ({ halves, includeMemory }) => (halves.live !== undefined && includeMemory === false ? 'runs' : undefined),
      ({ halves }) => {
        const disk = writable(halves).find(({ format }) => format !== 'qcow2')
        return disk === undefined ? undefined : `has disk ${disk.id} in raw form (${disk.path})`
      },
      ({ halves }) =>
        hasVariables(halves.live ?? halves.config) ? 'has UEFI firmware, whose variables are in no disk' : undefined,
    ],
  },
  {
    kind: 'external',
    obstacles: [
      ({ snapshots }) =>
        snapshots.some(({ internal }) => internal.length > 0)
          ? 'has snapshots inside its disks; delete these first'
          : undefined,
      ({ halves, includeMemory }) =>
        halves.live !== undefined && includeMemory === true ? 'runs, and its memory was asked for' : undefined,
      ({ halves, noOverlay }) =>
        writable(halves)
          .map(noOverlay)
          .find((why) => why !== undefined),
    ],
  },
]

/** Chooses the kind of a new snapshot. Throws SNAPSHOT_UNSUPPORTED, with what stands in the way of each, when none will do. Pure. */
export function chooseSnapshotKind(snapshot: SnapshotCase): SnapshotKind {
  const { facts } = snapshot.halves.live ?? snapshot.halves.config
  const unsupported = (why: string) => new AgentError('SNAPSHOT_UNSUPPORTED', `VM ${facts.vmId} ${why}`)
  if (writable(snapshot.halves).length === 0) throw unsupported('has no disk that could keep a snapshot')
  const reasons: string[] = []
  for (const { kind, obstacles } of KINDS) {
    const why = obstacles.map((obstacle) => obstacle(snapshot)).find((text) => text !== undefined)
    if (why === undefined) return kind
    reasons.push(why)
  }
  const [internal, external] = reasons
  throw unsupported(
    `can have no snapshot now: not inside its disks, because it ${internal}; not in files of their own, because it ${external}. Volumes in pools with snapshots can be kept while the VM is off`,
  )
}

/** The disks that a snapshot of the VM keeps. */
export function writable({ live, config }: DomainHalves): readonly DomainDisk[] {
  return (live ?? config).facts.disks.filter(({ readonly }) => !readonly)
}

function isExternal({ external }: Pick<SnapshotFacts, 'external'>): boolean {
  return external.length > 0
}

/** Whether its firmware keeps variables. libvirt chooses the loader when it defines the domain, and before 9.2 only when it starts it: then nothing names their file while it is off. */
export function hasVariables({ xml }: DomainHalf): boolean {
  const os = xml.first('os')
  return (
    os?.attribute('firmware') === 'efi' ||
    os?.first('nvram') !== undefined ||
    os?.first('loader', 'nvram') !== undefined
  )
}
