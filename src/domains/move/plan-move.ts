import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf, type DiskFormat, type DiskSource } from '../../core/model.ts'
import { imageInfo, imagePlace } from '../../storage/qemu-img.ts'
import { formatIn } from '../../storage/volume-content.ts'
import { devicePlace } from '../device-place.ts'
import { findDiskFile } from '../disk-chain.ts'
import { readHalves, type DomainHalves } from '../domain-halves.ts'
import type { DomainDisk } from '../domain-info.ts'
import { diskVolumeName } from '../names.ts'
import type { VolumeRef } from '../vm-remains.ts'
import { refuseBlocked } from './move-obstacles.ts'
import { findDisk, type MoveParts, type MoveRequest } from './move-request.ts'

/** A move as it will be made. Kept in the journal. */
export interface MovePlan {
  readonly diskId: string
  readonly vmName: string
  /** Name in the domain. */
  readonly target: string
  readonly bootable: boolean
  /** The active layer; what is below it is copied into the new volume. */
  readonly source: DiskSource
  /** The volume that goes when the disk has moved; absent for what was not made for the VM. */
  readonly leaves?: VolumeRef
  /** Where it goes. */
  readonly volume: VolumeRef
  readonly format: DiskFormat
  readonly sizeBytes: number
}

/** The disk that a move is about; the id of one that is named by its name in the domain. VM_NOT_MANAGED, DISK_NOT_FOUND. */
export function movedDisk({ config }: DomainHalves, name: string): DomainDisk {
  const { vmId, managed } = config.facts
  if (!managed)
    throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which moves no disks of it`)
  const disk = findDisk(config, name)
  if (disk === undefined) throw new AgentError('DISK_NOT_FOUND', `VM ${vmId} has no disk ${quote(name)}`)
  return disk
}

/**
 * Decides how a disk gets into another pool; undefined when it is there. Nothing is changed. Errors: VM_NOT_FOUND, VM_NOT_MANAGED, DISK_NOT_FOUND, DISK_MOVE_REFUSED naming what is in the way, VM_STATE_CONFLICT, VOLUME_IN_USE,
 * CONFLICT when the pool has a volume of that name, POOL_*, those of findDiskFile, LIBVIRT_*.
 */
export async function planMove(request: MoveRequest, parts: MoveParts, ctx: OpContext): Promise<MovePlan | undefined> {
  const { deps, client } = parts
  const { vmId, diskId, poolId } = request
  await deps.splits?.refuse(vmId, ctx.signal)
  const { backend } = await deps.pools.require(poolId, ctx)
  const halves = await readHalves(client, vmId, ctx.signal)
  const disk = movedDisk(halves, diskId)
  if (disk.poolId === backend.config.poolId && disk.volume !== '') return undefined
  await refuseBlocked(request, disk, halves, parts, ctx)
  const source = await sourceOf(disk, parts, ctx)
  const sizeBytes = await sizeOf(source, ctx)
  const { facts } = halves.config
  const volume = { poolId: backend.config.poolId, name: diskVolumeName(facts, disk.id) }
  if ((await backend.getVolume(volume.name, ctx)) !== undefined) {
    throw new AgentError(
      'CONFLICT',
      `disk ${disk.id} of VM ${vmId}: pool ${poolId} has a volume ${volume.name} from an earlier disk; delete it, then repeat the move`,
    )
  }
  return {
    diskId: disk.id,
    vmName: facts.name,
    target: disk.targetDev,
    bootable: disk.bootable,
    source,
    ...(disk.owned && disk.volume !== '' ? { leaves: { poolId: disk.poolId, name: disk.volume } } : {}),
    volume,
    format: formatIn(backend.traits, source.format),
    sizeBytes,
  }
}

/** How large a disk is for its guest. Errors: those of imageInfo. */
export async function sizeOf(source: DiskSource, ctx: OpContext): Promise<number> {
  return (await imageInfo(imagePlace(source), source.format, ctx)).virtualSizeBytes
}

// What libvirt calls a disk is not all that is needed to read it: storage knows the rest. The chain of a file is followed to its end, which also checks it.
async function sourceOf(disk: DomainDisk, { deps }: MoveParts, ctx: OpContext): Promise<DiskSource> {
  const source = disk.volume === '' ? undefined : await volumeOf(disk, deps, ctx)
  if (source !== undefined && source.type !== 'file') return source
  if (!disk.place.startsWith('/'))
    throw new AgentError('DISK_MOVE_REFUSED', `disk ${disk.id} is ${quote(disk.path)}, which is no volume of a pool`)
  const [active] = (await findDiskFile(disk.path, disk.format === 'raw' ? 'raw' : 'qcow2', deps, ctx)).layers
  return active
}

async function volumeOf(disk: DomainDisk, { pools }: MoveParts['deps'], ctx: OpContext): Promise<DiskSource> {
  const { backend } = await pools.require(disk.poolId, ctx)
  const source = await backend.diskSource(disk.volume, ctx)
  if ((await devicePlace(placeOf(source))) === (await devicePlace(disk.place))) return source
  throw new AgentError(
    'DISK_CHAIN_BROKEN',
    `disk ${disk.id} is ${quote(disk.path)}, and volume ${disk.volume} of pool ${disk.poolId} is ${quote(placeOf(source))}`,
  )
}
