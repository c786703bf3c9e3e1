import { isDeepStrictEqual } from 'node:util'
import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { StateCollection } from '../../platform/state-store.ts'
import type { BackupManifests } from '../../storage/backup-manifests.ts'
import type { ActivePool, PoolAccess } from '../../storage/pool-access.ts'
import { manifestName, readManifest, readManifestName, writeManifest } from './backup-manifest.ts'
import {
  readBackupVolume,
  type BackupListing,
  type DamagedBackup,
  type KnownBackup,
  type VmBackup,
} from './backup-record.ts'

export interface BackupCatalogOptions {
  readonly pools: Pick<PoolAccess, 'require' | 'active'>
  readonly manifests: Pick<BackupManifests, 'read' | 'names' | 'write' | 'remove'>
  /** What was last read, for while a pool cannot be. */
  readonly remembered: StateCollection<VmBackup>
}

/** A volume that a backup keeps. */
export interface BackupVolume {
  readonly vmId: string
  readonly name: string
  readonly path: string
}

/**
 * The finished backups of all VMs, as the manifests in the pools of this host say, whichever host made them. A backup is there when its manifest is: that is written last and removed first. The state of the agent only remembers what
 * was read, for while a pool cannot be. Errors of all that change or need a certain pool: those of `PoolAccess.require` and of BackupManifests.
 */
export class BackupCatalog {
  readonly #options: BackupCatalogOptions

  constructor(options: BackupCatalogOptions) {
    this.#options = options
  }

  /** Of one VM, or of all. With `leftovers`, volumes of backups without a manifest count as damaged ones. Never fails for a pool that cannot be read. */
  async list(ctx: OpContext, vmId?: string, leftovers: 'count' | 'leave' = 'leave'): Promise<BackupListing> {
    const read = new Set<string>()
    const listings = await Promise.all(
      this.#filePools().map(async ({ config: { poolId } }): Promise<BackupListing> => {
        try {
          const pool = await this.#options.pools.require(poolId, ctx)
          const listing = await this.ofPool(pool, ctx, vmId, leftovers)
          read.add(poolId)
          return listing
        } catch (error) {
          ctx.signal.throwIfAborted()
          ctx.log.warn({ pool: poolId, err: errorText(error) }, 'the backups in a pool cannot be read now')
          return { backups: [], damaged: [] }
        }
      }),
    )
    const unseen = (await this.#remembered()).filter(
      (backup) => !read.has(backup.poolId) && (vmId === undefined || backup.vmId === vmId),
    )
    return {
      backups: [
        ...listings.flatMap(({ backups }) => backups),
        ...unseen.map((backup) => ({ ...backup, state: 'unseen' as const })),
      ].sort((a, b) => a.createdAt - b.createdAt || a.name.localeCompare(b.name)),
      damaged: listings.flatMap(({ damaged }) => damaged),
    }
  }

  /** Those in one pool, read now. An `unseen` one is remembered, and its manifest is not as it should be in a pool that can be read. */
  async ofPool(
    pool: ActivePool,
    ctx: OpContext,
    vmId?: string,
    leftovers: 'count' | 'leave' = 'leave',
  ): Promise<BackupListing> {
    const { poolId } = pool.config
    const backups: KnownBackup[] = []
    const damaged: DamagedBackup[] = []
    const unread: DamagedBackup[] = []
    const unpublished = await this.#publishEarlier(poolId, ctx)
    for (const file of await this.#options.manifests.read(pool, vmId === undefined ? '' : `${vmId}.`, ctx)) {
      const whose = readManifestName(file.name)
      if (whose === undefined) continue
      if (file.passing) {
        unread.push({ ...whose, poolId, problem: `its manifest: ${file.problem}`, passing: true })
        continue
      }
      const reading =
        file.text === undefined ? { problem: `its manifest: ${file.problem}` } : readManifest(file.name, file.text)
      if ('problem' in reading) damaged.push({ ...whose, poolId, problem: reading.problem })
      else {
        const disks = reading.content.disks.map((disk) => ({
          ...disk,
          path: pool.backend.layers?.path(disk.volume) ?? '',
        }))
        backups.push({ ...reading.content, poolId, disks, state: 'whole' })
      }
    }
    await this.#remember(poolId, backups, unread, vmId)
    const remembered = new Map(await this.#options.remembered.entries())
    for (const each of unread) {
      const backup = remembered.get(keyOf(each))
      if (backup === undefined) damaged.push(each)
      else backups.push({ ...backup, state: 'unseen' })
    }
    const told = new Set([...backups, ...damaged].map(keyOf))
    for (const backup of unpublished)
      if ((vmId === undefined || backup.vmId === vmId) && !told.has(keyOf(backup)))
        backups.push({ ...backup, state: 'unseen' })
    if (leftovers === 'count') damaged.push(...(await this.#leftovers(pool, { backups, damaged }, ctx, vmId)))
    return { backups, damaged }
  }

  /** The volumes of the backups in a pool, and whose they are, by names alone: those of a backup whose manifest cannot be read are among them. */
  async usedVolumes(pool: ActivePool, ctx: OpContext): Promise<BackupVolume[]> {
    const { manifests, volumes } = await this.#options.manifests.names(pool, ctx)
    const known = new Set(manifests)
    for (const { vmId, name } of await this.#rememberedIn(pool)) known.add(manifestName(vmId, name))
    return volumes.flatMap((volume) => {
      const whose = readBackupVolume(volume)
      if (whose === undefined || !known.has(manifestName(whose.vmId, whose.name))) return []
      return [{ ...whose, path: pool.backend.layers?.path(volume) ?? '' }]
    })
  }

  /** `usedVolumes` as far as this host remembers them. */
  async rememberedVolumes(pool: ActivePool): Promise<BackupVolume[]> {
    return (await this.#rememberedIn(pool)).flatMap(({ vmId, name, disks }) =>
      disks.map(({ path }) => ({ vmId, name, path })),
    )
  }

  /** BACKUP_DAMAGED when its manifest cannot be believed, POOL_IO_ERROR when it cannot be read now, CONFLICT when two pools have one of that name. */
  async find(vmId: string, name: string, ctx: OpContext): Promise<VmBackup | undefined> {
    const { backups, damaged } = await this.list(ctx, vmId)
    return choose(vmId, name, backups, damaged)
  }

  /** Like `find` in one pool, which has to be readable. */
  async findIn(poolId: string, vmId: string, name: string, ctx: OpContext): Promise<VmBackup | undefined> {
    const { backups, damaged } = await this.ofPool(await this.#options.pools.require(poolId, ctx), ctx, vmId)
    return choose(vmId, name, backups, damaged)
  }

  /** Like `find`. BACKUP_DAMAGED when there are volumes of it without a manifest, else BACKUP_NOT_FOUND. */
  async require(vmId: string, name: string, ctx: OpContext): Promise<VmBackup> {
    const { backups, damaged } = await this.list(ctx, vmId, 'count')
    const backup = choose(vmId, name, backups, damaged)
    if (backup === undefined) throw new AgentError('BACKUP_NOT_FOUND', `VM ${vmId} has no backup ${quote(name)}`)
    return backup
  }

  /** The backup and those that it stands on, itself first. BACKUP_DAMAGED when one is missing. */
  async chain(backup: VmBackup, ctx: OpContext): Promise<VmBackup[]> {
    const { vmId, poolId } = backup
    const { backups, damaged } = await this.ofPool(await this.#options.pools.require(poolId, ctx), ctx, vmId)
    const chain = [backup]
    for (let { parent } = backup; parent !== '';) {
      const next = choose(vmId, parent, backups, damaged)
      if (next === undefined || chain.some((link) => link.name === next.name))
        throw new AgentError(
          'BACKUP_DAMAGED',
          `backup ${quote(backup.name)} of VM ${vmId} holds what changed since ${quote(parent)}, which pool ${poolId} does not have; restore another backup`,
        )
      chain.push(next)
      parent = next.parent
    }
    return chain
  }

  /** Makes the backup one that is there. Its volumes are. */
  async put(backup: VmBackup, ctx: OpContext): Promise<void> {
    const { vmId, name, poolId } = backup
    const pool = await this.#options.pools.require(poolId, ctx)
    await this.#options.manifests.write(pool, manifestName(vmId, name), writeManifest(backup), ctx)
    await this.#options.remembered.put(keyOf(backup), backup)
  }

  /** From here on it is not there, whatever becomes of its volumes. */
  async delete(whose: Pick<VmBackup, 'vmId' | 'name' | 'poolId'>, ctx: OpContext): Promise<void> {
    const pool = await this.#options.pools.require(whose.poolId, ctx)
    await this.#options.manifests.remove(pool, manifestName(whose.vmId, whose.name), ctx)
    const { remembered } = this.#options
    // Under the key of an agent before there were manifests too.
    for (const [key, backup] of await remembered.entries())
      if (keyOf(backup) === keyOf(whose)) await remembered.delete(key)
  }

  /** Names of the volumes of a backup that are in a pool, with a manifest or without. */
  async volumes(poolId: string, vmId: string, name: string, ctx: OpContext): Promise<string[]> {
    const { backend } = await this.#options.pools.require(poolId, ctx)
    const names = (await backend.listVolumes(ctx)).map((volume) => volume.name)
    return names.filter((volume) => isDeepStrictEqual(readBackupVolume(volume), { vmId, name }))
  }

  // Before there were manifests, the state of the agent alone knew of backups. Answers those that could not be written into the pool now: one such hides no other.
  async #publishEarlier(poolId: string, ctx: OpContext): Promise<VmBackup[]> {
    const { remembered } = this.#options
    const unpublished: VmBackup[] = []
    for (const [key, backup] of await remembered.entries()) {
      if (backup.poolId !== poolId || key === keyOf(backup)) continue
      try {
        await this.put(backup, ctx)
        await remembered.delete(key)
      } catch (error) {
        ctx.signal.throwIfAborted()
        const { vmId, name } = backup
        ctx.log.warn({ pool: poolId, vm: vmId, backup: name, err: errorText(error) }, 'a backup gets no manifest yet')
        unpublished.push(backup)
      }
    }
    return unpublished
  }

  async #leftovers(
    pool: ActivePool,
    { backups, damaged }: BackupListing,
    ctx: OpContext,
    vmId: string | undefined,
  ): Promise<DamagedBackup[]> {
    const known = new Set([...backups, ...damaged].map((each) => manifestName(each.vmId, each.name)))
    const found = new Map<string, DamagedBackup>()
    for (const { name: volume } of await pool.backend.listVolumes(ctx)) {
      const whose = readBackupVolume(volume)
      if (whose === undefined || (vmId !== undefined && whose.vmId !== vmId)) continue
      const key = manifestName(whose.vmId, whose.name)
      if (known.has(key)) continue
      const problem = 'it has no manifest: it is being made, that or its deletion was cut off, or the manifest was lost'
      found.set(key, { ...whose, poolId: pool.config.poolId, problem })
    }
    return [...found.values()]
  }

  #filePools(): ActivePool[] {
    return this.#options.pools
      .active()
      .filter(({ guard, backend }) => guard !== undefined && backend.layers !== undefined)
  }

  async #rememberedIn({ config }: ActivePool): Promise<VmBackup[]> {
    return (await this.#remembered()).filter(({ poolId }) => poolId === config.poolId)
  }

  async #remembered(): Promise<VmBackup[]> {
    return (await this.#options.remembered.entries()).map(([, backup]) => backup)
  }

  async #remember(
    poolId: string,
    backups: readonly KnownBackup[],
    unread: readonly DamagedBackup[],
    vmId: string | undefined,
  ): Promise<void> {
    const { remembered } = this.#options
    const known = new Map(
      (await remembered.entries()).filter(
        ([, backup]) => backup.poolId === poolId && (vmId === undefined || backup.vmId === vmId),
      ),
    )
    for (const { state: _, ...backup } of backups) {
      const key = keyOf(backup)
      if (!isDeepStrictEqual(known.get(key), backup)) await remembered.put(key, backup)
      known.delete(key)
    }
    const kept = unread.map(keyOf)
    for (const [key, backup] of known) if (key === keyOf(backup) && !kept.includes(key)) await remembered.delete(key)
  }
}

function choose(
  vmId: string,
  name: string,
  backups: readonly KnownBackup[],
  damaged: readonly DamagedBackup[],
): VmBackup | undefined {
  const [backup, other] = backups.filter((each) => each.name === name)
  if (backup !== undefined && other !== undefined)
    throw new AgentError(
      'CONFLICT',
      `pools ${backup.poolId} and ${other.poolId} both have a backup ${quote(name)} of VM ${vmId}; take one of the pools out of use meanwhile`,
    )
  if (backup !== undefined) {
    const { state: _, ...plain } = backup
    return plain
  }
  const broken = damaged.find((each) => each.name === name)
  if (broken === undefined) return undefined
  throw new AgentError(
    broken.passing === true ? 'POOL_IO_ERROR' : 'BACKUP_DAMAGED',
    `backup ${quote(name)} of VM ${vmId} in pool ${broken.poolId} cannot be used: ${broken.problem}`,
  )
}

function keyOf({ poolId, vmId, name }: Pick<VmBackup, 'vmId' | 'name' | 'poolId'>): string {
  return `${poolId}.${vmId}.${name}`
}
