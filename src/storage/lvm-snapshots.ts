import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import type { VolumeSnapshot } from '../core/model.ts'
import type { VolumeSnapshots } from './backend.ts'
import { snapshotLv, volumeLv } from './lvm-names.ts'
import type { LogicalVolume, VolumeGroup } from './lvm-report.ts'
import { snapshotTags } from './lvm-tags.ts'
import type { LvmScope } from './lvm-scope.ts'
import { parseVolumeName } from './volume-name.ts'

/** Snapshots as read-only thin snapshots that are never activated. Clones do not need them: thin volumes share blocks, not fates. */
export class LvmSnapshots implements VolumeSnapshots {
  readonly #options: LvmScope
  readonly #locks: KeyedLock

  /** With the locks of the volumes, by name. */
  constructor(options: LvmScope, locks: KeyedLock) {
    this.#options = options
    this.#locks = locks
  }

  async create(volume: string, snapshot: string, ctx: OpContext): Promise<VolumeSnapshot> {
    const { lvm, volumeGroup } = this.#options
    const name = snapshotLv(volumeGroup, volume, snapshot)
    return this.#locks.run(volume, ctx.signal, async () => {
      const group = await this.#group(volume, ctx)
      const present = this.#find(group, volume, snapshot)
      if (present !== undefined) return facts(present)
      if (group.volumes.some((lv) => lv.name === name)) {
        throw new AgentError(
          'DISK_FILE_FOREIGN',
          `${volumeGroup}/${name} is in the place of the snapshot and was not made for it`,
        )
      }
      const tags = snapshotTags({ volume, snapshot, createdAt: Date.now() }).flatMap((tag) => ['--addtag', tag])
      const args = ['lvcreate', '--yes', '--snapshot', '--permission', 'r', '--setactivationskip', 'y', ...tags]
      await lvm.change([...args, '--name', name, `${volumeGroup}/${volumeLv(volumeGroup, volume)}`], ctx)
      return facts(this.require(await this.#group(volume, ctx), volume, snapshot))
    })
  }

  async list(volume: string, ctx: OpContext): Promise<VolumeSnapshot[]> {
    const group = await this.#group(volume, ctx)
    return snapshotsOf(group, volume)
      .map(facts)
      .sort((one, other) => one.createdAt - other.createdAt)
  }

  async delete(volume: string, snapshot: string, ctx: OpContext): Promise<'deleted' | 'already-deleted'> {
    const { lvm, volumeGroup } = this.#options
    snapshotLv(volumeGroup, volume, snapshot)
    return this.#locks.run(volume, ctx.signal, async () => {
      const lv = this.#find(await this.#options.group(ctx), volume, snapshot)
      if (lv === undefined) return 'already-deleted'
      await lvm.change(['lvremove', '--yes', `${volumeGroup}/${lv.name}`], ctx)
      return 'deleted'
    })
  }

  /** The logical volume of a snapshot. SNAPSHOT_NOT_FOUND. */
  require(group: VolumeGroup, volume: string, snapshot: string): LogicalVolume {
    const lv = this.#find(group, volume, snapshot)
    if (lv !== undefined) return lv
    throw new AgentError('SNAPSHOT_NOT_FOUND', `volume ${volume} has no snapshot ${snapshot}`)
  }

  #find(group: VolumeGroup, volume: string, snapshot: string): LogicalVolume | undefined {
    return snapshotsOf(group, volume).find(({ tags }) => tags.snapshot?.snapshot === snapshot)
  }

  async #group(volume: string, ctx: OpContext): Promise<VolumeGroup> {
    parseVolumeName(volume)
    const group = await this.#options.group(ctx)
    const there = group.volumes.some(({ tags }) => tags.claim === undefined && tags.volume?.name === volume)
    if (there) return group
    throw new AgentError('VOLUME_NOT_FOUND', `volume ${volume} is missing in pool ${this.#options.poolId}`)
  }
}

/** The snapshots of a volume, by their tags. */
export function snapshotsOf(group: VolumeGroup, volume: string): LogicalVolume[] {
  return group.volumes.filter(({ tags }) => tags.snapshot?.volume === volume)
}

function facts({ tags }: LogicalVolume): VolumeSnapshot {
  return { name: tags.snapshot?.snapshot ?? '', createdAt: tags.snapshot?.createdAt ?? 0 }
}
