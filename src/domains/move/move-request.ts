import type { Logger } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import type { DiskSource } from '../../core/model.ts'
import type { LibvirtClient } from '../../libvirt/client.ts'
import type { DomainDeps } from '../deps.ts'
import type { DomainHalf } from '../domain-halves.ts'
import type { DomainDisk } from '../domain-info.ts'
import type { CopiedDisk } from './guest-side.ts'

/** What a caller wants. */
export interface MoveRequest {
  readonly vmId: string
  readonly diskId: string
  readonly poolId: string
  /** Most that is copied per second while the guest runs; 0 = no limit. */
  readonly bytesPerSecond: number
  /** Give up the record of what changed since the last incremental backup, which does not move along. */
  readonly dropCheckpoints: boolean
}

/** What moves need. */
export interface MoveParts {
  readonly deps: DomainDeps
  readonly client: Pick<LibvirtClient, 'call' | 'ready' | 'subscribe'>
  readonly log: Logger
}

/** The disk of a half that a caller means by an id or a name in the domain. Ids come first: one may be the name of another disk. */
export function findDisk(half: DomainHalf | undefined, name: string): DomainDisk | undefined {
  const disks = half?.facts.disks ?? []
  return disks.find(({ id }) => id === name) ?? disks.find(({ targetDev }) => targetDev === name)
}

/** The disk of a half at a name in the domain (`vdb`), whatever its id is. */
export function diskAt(half: DomainHalf | undefined, target: string): DomainDisk | undefined {
  return half?.facts.disks.find(({ targetDev }) => targetDev === target)
}

/** A disk under a running guest, between its source and its copy. DISK_CHAIN_BROKEN when the guest has none there. */
export function copiedDisk(
  vmId: string,
  { target, source }: { readonly target: string; readonly source: DiskSource },
  live: DomainHalf | undefined,
  copy: DiskSource,
): CopiedDisk {
  const alias = diskAt(live, target)?.alias ?? ''
  if (alias !== '') return { vmId, target, alias, source, copy }
  throw new AgentError(
    'DISK_CHAIN_BROKEN',
    `VM ${vmId}: the running guest has no disk ${target} any more, which is being moved`,
  )
}
