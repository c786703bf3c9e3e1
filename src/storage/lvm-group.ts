import { createHash, randomUUID } from 'node:crypto'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import type { PoolKind } from '../core/model.ts'
import type { ActivationRequest } from './backend.ts'
import { refuseSignatures } from './device-signatures.ts'
import { resolveDevice } from './device-state.ts'
import type { Lvm, LvmPlace } from './lvm.ts'
import { inUse, otherMark } from './lvm-mark.ts'
import { LABEL_REPORT, parseLabels, type LogicalVolume, type VolumeGroup } from './lvm-report.ts'
import { generationTag, kindTag, MADE_TAG, MAKING_TAG, nodeTag, poolTag, takerTag } from './lvm-tags.ts'

export interface LvmGroupOptions extends LvmPlace {
  readonly poolId: string
  readonly kind: PoolKind
  readonly nodeId: string
  readonly thinPool: string
  /** Whether an admin named the volume group: only then one that the agent did not make is used. */
  readonly named: boolean
}

/** Room for the descriptions of some ten thousand volumes with their tags; LVM's own choice ends at about a thousand. */
const METADATA_SIZE = '16m'
/** What is left is for the thin pool's metadata, its spare and their growth. */
const POOL_SHARE = '90%FREE'
const WITHDRAW_TIMEOUT_MS = 60_000

/** The volume group of a pool: whose it is, and how it and the thin pool in it come into being and go. */
export class LvmGroup {
  readonly #lvm: Lvm
  readonly #options: LvmGroupOptions

  constructor(lvm: Lvm, options: LvmGroupOptions) {
    this.#lvm = lvm
    this.#options = options
  }

  /** The volume group as it is now, if it is this pool's and not another host's. DEVICE_MISSING, POOL_IDENTITY_MISMATCH, POOL_IN_USE. */
  async require(ctx: OpContext, generation?: string): Promise<VolumeGroup> {
    return this.#marked(await this.#look(generation, ctx))
  }

  /** The volume group as it is now, if it is this pool's, whoever has it. DEVICE_MISSING, POOL_IDENTITY_MISMATCH. */
  async find(ctx: OpContext): Promise<VolumeGroup> {
    const group = await this.#present(ctx)
    this.#refuseOtherPool(group)
    return this.#marked(group)
  }

  /** The thin pool in `group`. POOL_IDENTITY_MISMATCH when it is gone. */
  thinPool(group: VolumeGroup): LogicalVolume {
    const found = this.#thinPoolIn(group)
    if (found !== undefined) return found
    const { thinPool } = this.#options
    throw new AgentError('POOL_IDENTITY_MISMATCH', `volume group ${group.name} has no thin pool ${thinPool}`)
  }

  /** Marks the volume group as this pool's on this host; with 'initialise', what is missing is made first. */
  async take(request: ActivationRequest, ctx: OpContext): Promise<VolumeGroup> {
    // Of an attempt that was cut short: nobody waits for it, and it proves nothing.
    await this.#unmark([takerTag(this.#options.nodeId)], ctx)
    try {
      if (request.mode === 'initialise') await this.#initialise(ctx)
      const expected = request.mode === 'resume' ? request.generation : undefined
      const group = await this.require(ctx, expected)
      if (!this.thinPool(group).zeroes) {
        throw new AgentError(
          'POOL_CONFIG_INVALID',
          `thin pool ${group.name}/${this.#options.thinPool} does not zero new blocks, so that volumes would show each other's old data; set it: lvchange --zero y`,
        )
      }
      await this.#refuseFurtherDevices(group, ctx)
      return await this.#hold(group, expected, ctx)
    } catch (error) {
      await this.#withdraw(ctx)
      throw error
    }
  }

  /** Lets another host take the volume group, as far as this one keeps it from that; nothing is done to the marks of another pool or host. */
  async release(ctx: OpContext): Promise<void> {
    await this.#unmark(this.#marksOfHost(), ctx)
  }

  /** Removes what the agent made of the volume group, and its marks, unless a volume is left in it. POOL_IN_USE when another host says that it has it, too. */
  async remove(ctx: OpContext): Promise<void> {
    const { nodeId } = this.#options
    const found = await this.require(ctx)
    const other = otherMark({ ...found.tags, takers: [] }, nodeId)
    if (other !== undefined) throw inUse(found.name, other)
    // Nobody takes it meanwhile.
    const group = found.tags.nodes.includes(nodeId) ? found : await this.#want(found, undefined, ctx)
    const { name, rawTags, volumes } = group
    const { thinPool } = this.#options
    const ours = (lv: LogicalVolume) => lv.isThinPool && lv.name === thinPool && lv.rawTags.includes(MADE_TAG)
    if (volumes.some(({ tags, pool }) => tags.volume !== undefined || tags.snapshot !== undefined || pool === thinPool))
      return
    if (rawTags.includes(MADE_TAG) && volumes.every(ours)) {
      await this.#lvm.change(['vgremove', '--yes', name], ctx)
      await this.#lvm.change(['pvremove', ...group.devices], ctx)
      return
    }
    if (volumes.some(ours)) await this.#lvm.change(['lvremove', '--yes', `${name}/${thinPool}`], ctx)
    const marks = rawTags.filter((tag) => tag.startsWith('limiquantix.') && tag !== MADE_TAG)
    await this.#lvm.change(['vgchange', ...marks.flatMap((tag) => ['--deltag', tag]), name], ctx)
  }

  /**
   * Two hosts can take it at once, each having seen that nobody has it. So each says first that it wants it, and only who then sees no other mark says that it has it; who sees one gives way, both at worst. A kill on the way leaves a
   * wish, on which nobody founds anything. `further` tags are written together with the mark, chosen by what is there then. LVM does not keep two hosts from writing over each other: a mark that is gone, or a second one that says the same, is lost as well.
   */
  async #hold(
    seen: VolumeGroup,
    generation: string | undefined,
    ctx: OpContext,
    further: (group: VolumeGroup) => readonly string[] = () => [],
  ): Promise<VolumeGroup> {
    const { nodeId } = this.#options
    if (seen.tags.nodes.includes(nodeId)) {
      this.#refuseSecond(seen, ctx)
      const marks = further(seen)
      if (marks.length === 0) return seen
      await this.#lvm.change(['vgchange', ...adding(marks), seen.name], ctx)
      return this.require(ctx, generation)
    }
    const group = await this.#want(seen, generation, ctx)
    const marks = [nodeTag(nodeId), ...further(group)]
    await this.#lvm.change(['vgchange', '--deltag', takerTag(nodeId), ...adding(marks), group.name], ctx)
    return this.#requireMark('nodes', generation, ctx)
  }

  // Earlier versions left the mark of the one that gave way, which had made nothing active.
  #refuseSecond(group: VolumeGroup, { log }: OpContext): void {
    const { poolId, nodeId } = this.#options
    const other = otherMark({ ...group.tags, takers: [] }, nodeId)
    if (other === undefined) return
    const error = inUse(group.name, other)
    if (!group.rawTags.includes(MADE_TAG) || this.#thinPoolIn(group)?.active !== true) throw error
    log.warn({ pool: poolId, err: error.message }, 'the pool is active here, and goes on')
  }

  /** Says that this host wants the volume group; gives what it is then, if no other host has or wants it. POOL_IN_USE. */
  async #want({ name, tags }: VolumeGroup, generation: string | undefined, ctx: OpContext): Promise<VolumeGroup> {
    const { nodeId } = this.#options
    if (!tags.takers.includes(nodeId)) await this.#lvm.change(['vgchange', ...adding([takerTag(nodeId)]), name], ctx)
    return this.#requireMark('takers', generation, ctx)
  }

  /** The volume group if this host has the mark and no other host has one that counts; else takes this host's marks off. POOL_IN_USE, those of `#look`. */
  async #requireMark(mark: 'takers' | 'nodes', generation: string | undefined, ctx: OpContext): Promise<VolumeGroup> {
    const { nodeId } = this.#options
    try {
      const group = await this.#look(generation, ctx)
      const { name, tags } = group
      const other = otherMark({ ...tags, takers: [] }, nodeId)
      if (other !== undefined) throw inUse(name, other)
      if (tags[mark].includes(nodeId)) return group
      const why = `another host wrote to volume group ${name} while this one was taking it; nothing was done to it: try again`
      throw new AgentError('POOL_IN_USE', why)
    } catch (error) {
      if (isAgentError(error, 'POOL_IN_USE')) await this.#unmark(this.#marksOfHost(), detached(ctx))
      throw error
    }
  }

  #marksOfHost(): string[] {
    const { nodeId } = this.#options
    return [nodeTag(nodeId), takerTag(nodeId)]
  }

  // Nothing is written to a volume group that does not have them: it may be in use by another host. Nor to another pool's: this host may have that, too.
  async #unmark(marks: readonly string[], ctx: OpContext): Promise<void> {
    const group = await this.#lvm.read(ctx)
    const present = marks.filter((tag) => group?.rawTags.includes(tag) === true)
    if (group === undefined || present.length === 0 || !this.#isWritable(group)) return
    await this.#lvm.change(['vgchange', ...present.flatMap((tag) => ['--deltag', tag]), group.name], ctx)
  }

  /** Not while a disk is missing: LVM would write down that it is, and not take it back before an admin says so (`vgextend --restoremissing`). */
  #isWritable({ tags, missingDevices }: VolumeGroup): boolean {
    return missingDevices === 0 && (tags.pool === undefined || tags.pool === this.#options.poolId)
  }

  // Of a taking that failed. The error that led here is the one to be told.
  async #withdraw(ctx: OpContext): Promise<void> {
    const { nodeId, volumeGroup } = this.#options
    try {
      await this.#unmark([takerTag(nodeId)], detached(ctx))
    } catch (error) {
      const tag = takerTag(nodeId)
      ctx.log.warn(
        { volumeGroup, tag, err: errorText(error) },
        'a tag stays on the volume group until the next attempt',
      )
    }
  }

  // The volume group is this host's before anything is made in it: what is made is active here at once, and could not be given way with.
  async #initialise(ctx: OpContext): Promise<void> {
    const found = (await this.#lvm.read(ctx)) ?? (await this.#make(ctx))
    this.#refuseIncomplete(found)
    this.#refuseOther(found, undefined)
    this.#refuseForeign(found)
    const group = await this.#hold(found, undefined, ctx, (seen) => {
      this.#refuseForeign(seen)
      return this.#marks(seen)
    })
    if (this.#thinPoolIn(group) === undefined) await this.#makeThinPool(group, ctx)
    if (!group.rawTags.includes(MAKING_TAG)) return
    await this.#lvm.change(['vgchange', '--deltag', MAKING_TAG, group.name], ctx)
  }

  #refuseForeign({ name, tags, rawTags, volumes }: VolumeGroup): void {
    const { thinPool, named } = this.#options
    if (tags.pool === undefined && !named) {
      throw new AgentError(
        'POOL_DATA_FOREIGN',
        `there is a volume group ${name} that the agent did not make; name it in the configuration if the pool may use its free space`,
      )
    }
    const there = volumes.find((lv) => lv.name === thinPool)
    if (there !== undefined && !there.isThinPool && !rawTags.includes(MAKING_TAG)) {
      throw new AgentError(
        'POOL_DATA_FOREIGN',
        `${name}/${thinPool} is a logical volume that is no thin pool; name another thin_pool`,
      )
    }
  }

  #thinPoolIn({ volumes }: VolumeGroup): LogicalVolume | undefined {
    return volumes.find(({ name, isThinPool }) => isThinPool && name === this.#options.thinPool)
  }

  /** What is to be written on it before it is used for the first time. */
  #marks(group: VolumeGroup): string[] {
    const { poolId, kind } = this.#options
    const { tags, rawTags } = group
    return [
      ...(tags.pool === undefined ? [poolTag(poolId), kindTag(kind)] : []),
      ...(tags.generation === undefined ? [generationTag(randomUUID())] : []),
      ...(this.#thinPoolIn(group) !== undefined || rawTags.includes(MAKING_TAG) ? [] : [MAKING_TAG]),
    ]
  }

  async #make(ctx: OpContext): Promise<VolumeGroup> {
    const { volumeGroup, poolId, kind, nodeId } = this.#options
    const stable = await this.#options.devices?.(ctx)
    if (stable === undefined || stable.length === 0) throw await this.#missing(ctx)
    const labels = await this.#labels(ctx)
    const nodes: string[] = []
    const unprepared: { node: string; uuid: string }[] = []
    for (const device of stable) {
      const node = await resolveDevice(device)
      const uuid = this.#labelUuid(device)
      const label = labels.find((each) => each.node === node)
      if (label !== undefined && label.group !== '') throw this.#otherGroup(device, label)
      // A label of ours is what an initialisation that was killed leaves.
      if (label?.uuid !== uuid) {
        await refuseSignatures(this.#lvm, device, node, ctx)
        unprepared.push({ node, uuid })
      }
      nodes.push(node)
    }
    // Without --yes and without anybody to ask, LVM refuses whatever it finds on a device.
    for (const { node, uuid } of unprepared) {
      const args = ['pvcreate', '--uuid', uuid, '--norestorefile', '--metadatasize', METADATA_SIZE, node]
      await this.#lvm.change(args, ctx).catch((error: unknown) => {
        if (!isAgentError(error, 'COMMAND_FAILED', 'VOLUME_IN_USE')) throw error
        throw new AgentError('POOL_DATA_FOREIGN', `LVM does not take ${node}: ${error.message}`, { cause: error })
      })
    }
    const tags = [MADE_TAG, MAKING_TAG, poolTag(poolId), kindTag(kind), generationTag(randomUUID()), takerTag(nodeId)]
    // Not activated by hosts that merely see the disks.
    const args = ['vgcreate', '--setautoactivation', 'n', ...adding(tags)]
    await this.#lvm.change([...args, volumeGroup, ...nodes], ctx)
    const group = await this.#lvm.read(ctx)
    if (group === undefined) throw await this.#missing(ctx)
    return group
  }

  // While the volume group is marked so, what is in the place of the thin pool is a part of one that was being made.
  async #makeThinPool(group: VolumeGroup, ctx: OpContext): Promise<void> {
    const { thinPool } = this.#options
    const parts = group.volumes.filter(({ name }) => name === thinPool || name.startsWith(`${thinPool}_t`))
    if (parts.length > 0) {
      await this.#lvm.change(['lvremove', '--yes', ...parts.map(({ name }) => `${group.name}/${name}`)], ctx)
    }
    const args = ['lvcreate', '--yes', '--type', 'thin-pool', '--extents', POOL_SHARE, '--zero', 'y']
    await this.#lvm.change([...args, '--addtag', MADE_TAG, '--name', thinPool, group.name], ctx)
  }

  /** The volume group as it is now, marked or not, unless it is another pool's or host's. */
  async #look(generation: string | undefined, ctx: OpContext): Promise<VolumeGroup> {
    const group = await this.#present(ctx)
    this.#refuseOther(group, generation)
    return group
  }

  async #present(ctx: OpContext): Promise<VolumeGroup> {
    const group = await this.#lvm.read(ctx)
    if (group === undefined) throw await this.#missing(ctx)
    this.#refuseIncomplete(group)
    return group
  }

  #marked(group: VolumeGroup): VolumeGroup {
    if (group.tags.pool !== undefined) return group
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `volume group ${group.name} is not marked as pool ${this.#options.poolId}`,
    )
  }

  #refuseOtherPool({ name, tags }: VolumeGroup): void {
    const { poolId, kind } = this.#options
    if (tags.pool !== undefined && (tags.pool !== poolId || tags.kind !== kind)) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `volume group ${name} is pool ${tags.pool} (${tags.kind ?? 'of no known type'}), not ${poolId}`,
      )
    }
  }

  #refuseOther(group: VolumeGroup, generation: string | undefined): void {
    this.#refuseOtherPool(group)
    const { name, tags } = group
    const { poolId, nodeId } = this.#options
    const other = otherMark(tags, nodeId)
    if (other !== undefined && !tags.nodes.includes(nodeId)) throw inUse(name, other)
    if (generation !== undefined && tags.generation !== generation) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `volume group ${name} is pool ${poolId}, but of another initialisation`,
      )
    }
  }

  #refuseIncomplete({ name, missingDevices }: VolumeGroup): void {
    if (missingDevices === 0) return
    throw new AgentError(
      'DEVICE_MISSING',
      `volume group ${name} lacks ${missingDevices} of its disks; check the cabling and the devices of the pool`,
    )
  }

  async #refuseFurtherDevices(group: VolumeGroup, ctx: OpContext): Promise<void> {
    if (this.#options.devices === undefined) return
    const members = await Promise.all(group.devices.map(resolveDevice))
    for (const device of await this.#options.devices(ctx)) {
      if (members.includes(await resolveDevice(device))) continue
      throw new AgentError(
        'POOL_CONFIG_INVALID',
        `${device} is no disk of volume group ${group.name}; add it with vgextend(8), or take it out of the configuration`,
      )
    }
  }

  /** Why the volume group is not there. */
  async #missing(ctx: OpContext): Promise<AgentError> {
    const { volumeGroup, devices } = this.#options
    if (devices === undefined) {
      return new AgentError(
        'DEVICE_MISSING',
        `volume group ${volumeGroup} is not on this host; make it, or name the disks to make it on`,
      )
    }
    const stable = await devices(ctx)
    const [label] = (await this.#labels(ctx)).filter(({ group }) => group !== '')
    if (label !== undefined) return this.#otherGroup(label.node, label)
    return new AgentError('DEVICE_MISSING', `volume group ${volumeGroup} is not on ${stable.join(', ')}`)
  }

  #otherGroup(device: string, { group, tags }: { group: string; tags: VolumeGroup['tags'] }): AgentError {
    if (tags.pool !== undefined) {
      return new AgentError('POOL_IDENTITY_MISMATCH', `${device} holds pool ${tags.pool} (volume group ${group})`)
    }
    return new AgentError(
      'POOL_DATA_FOREIGN',
      `${device} belongs to volume group ${group}; the agent takes no disk that is in use`,
    )
  }

  async #labels(ctx: OpContext) {
    const labels = parseLabels(await this.#lvm.query(LABEL_REPORT, ctx))
    return Promise.all(labels.map(async (label) => ({ ...label, node: await resolveDevice(label.device) })))
  }

  // The same for every attempt of this pool on this host, so that its own unfinished work is told from other people's disks.
  #labelUuid(device: string): string {
    const { poolId, nodeId } = this.#options
    const text = createHash('sha256').update([poolId, nodeId, device].join('\n')).digest('hex')
    return text.slice(0, 32).replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7')
  }
}

function adding(tags: readonly string[]): string[] {
  return tags.flatMap((tag) => ['--addtag', tag])
}

// The caller may be gone.
function detached({ log }: OpContext): OpContext {
  return { log, signal: AbortSignal.timeout(WITHDRAW_TIMEOUT_MS) }
}
