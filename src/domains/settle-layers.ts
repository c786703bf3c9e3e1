import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { defineChains } from './define-chains.ts'
import { findDiskFile } from './disk-chain.ts'
import type { DomainDisk, DomainLayer } from './domain-info.ts'
import { bothHalves, type DomainHalves } from './domain-halves.ts'
import { nextLayerStep, type LayerStep } from './layer-plan.ts'
import { chainAt, readLayerState, type LayerState } from './layer-state.ts'
import { commitLive } from './live-commit.ts'
import { editMetadata, withLayers } from './metadata-edit.ts'
import { vmOwner } from './names.ts'
import { otherHolders } from './pool-users.ts'
import type { SnapshotParts } from './read-snapshots.ts'
import { withLease } from './with-lease.ts'

/** Two layers that are being made one. */
export type Merge = Extract<LayerStep, { type: 'merge' }>

/** What a merge that an earlier process began was, and where the present one is noted before it begins. */
export interface MergeNotes {
  readonly unfinished: Merge | undefined
  note(merge: Merge | undefined): Promise<void>
}

/**
 * Removes and merges layers until the VM has no more than its snapshots need. It may stop or die at any point: the VM can be started, and the next call goes on. Errors: VOLUME_IN_USE when something else stands on what would
 * change, VM_RUNS_ELSEWHERE, DISK_CHAIN_BROKEN, POOL_*, LIBVIRT_*.
 */
export async function settleLayers(
  vmId: string,
  parts: SnapshotParts,
  notes: MergeNotes,
  ctx: OpContext,
): Promise<void> {
  const found = await readLayerState(vmId, parts, ctx)
  await repairStrays(vmId, found, parts, ctx)
  // A later snapshot may have the name of one that is gone.
  const forgotten = found.layers.some(({ path, keeps }) => keeps !== '' && !found.kept.has(path))
  const named = found.layers.map((layer) => (found.kept.has(layer.path) ? layer : { ...layer, keeps: '' }))
  if (forgotten) await writeLayers(vmId, found, named, parts, ctx)
  let { unfinished } = notes
  for (;;) {
    ctx.signal.throwIfAborted()
    const state = await readLayerState(vmId, parts, ctx)
    const step = unfinished ?? nextLayerStep(state.layers, state.kept, state.active)
    if (step === undefined) {
      await tidy(vmId, state, parts, ctx)
      return
    }
    switch (step.type) {
      case 'forget':
        await writeLayers(vmId, state, without(state, step.path), parts, ctx)
        break
      case 'drop':
        await drop(vmId, step.path, state, parts, ctx)
        break
      case 'merge':
        if (unfinished === undefined) await notes.note(step)
        unfinished = undefined
        await merge(vmId, step, state, parts, ctx)
        await notes.note(undefined)
    }
  }
}

/** Writes the list of a VM's layers, and which volumes its disks are now, into our metadata. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function writeLayers(
  vmId: string,
  { halves }: Pick<LayerState, 'halves'>,
  layers: readonly DomainLayer[],
  { client }: Pick<SnapshotParts, 'client'>,
  ctx: OpContext,
): Promise<void> {
  const plain = layers.map(({ path, format, disk, poolId, volume, owned, overlay, keeps }) => ({
    path,
    format,
    disk,
    poolId,
    volume,
    owned,
    overlay,
    keeps,
  }))
  const volumes = new Map(changedVolumes(halves, layers).map(({ id, layer }) => [id, layer]))
  await editMetadata(client, vmId, bothHalves(halves), (text) => withLayers(text, plain, volumes), ctx.signal)
}

/** The chain below and with a file, checked. */
export async function chainFrom(
  { path, format }: Pick<DomainLayer, 'path' | 'format'>,
  parts: SnapshotParts,
  ctx: OpContext,
) {
  return (await findDiskFile(path, format, parts.deps, ctx)).layers
}

function changedVolumes({ config }: DomainHalves, layers: readonly DomainLayer[]) {
  return config.facts.disks.flatMap((disk) => {
    const layer = layers.find(({ path }) => path === disk.path)
    const same = layer === undefined || (layer.volume === disk.volume && layer.owned === disk.owned)
    return same ? [] : [{ id: disk.id, layer }]
  })
}

async function tidy(vmId: string, state: LayerState, parts: SnapshotParts, ctx: OpContext): Promise<void> {
  const layered = new Set(state.layers.filter(({ overlay }) => overlay).map(({ disk }) => disk))
  const needed = state.layers.filter(({ disk }) => layered.has(disk))
  if (needed.length === state.layers.length && changedVolumes(state.halves, state.layers).length === 0) return
  // A disk has to be told which volume it is before the list that says so goes.
  await writeLayers(vmId, state, state.layers, parts, ctx)
  if (needed.length < state.layers.length) await writeLayers(vmId, state, needed, parts, ctx)
}

async function drop(vmId: string, path: string, state: LayerState, parts: SnapshotParts, ctx: OpContext) {
  const layer = layerAt(state, path)
  if (state.open.has(path)) {
    throw new AgentError('VOLUME_IN_USE', `VM ${vmId}: ${quote(path)} is not needed and still open in QEMU; it stays`)
  }
  await refuseShared(vmId, layer, parts, ctx)
  // A definition that names every file of a chain names this one too.
  const { config } = state.halves
  const naming = config.facts.disks.filter(({ targetDev }) => chainAt(config, targetDev).slice(1).includes(path))
  for (const { targetDev, path: active, format } of naming) {
    const chain = await chainFrom({ path: active, format: format === 'raw' ? 'raw' : 'qcow2' }, parts, ctx)
    await defineChains(vmId, new Map([[targetDev, chain]]), parts.client, ctx.signal)
  }
  const { backend } = await parts.deps.pools.require(layer.poolId, ctx)
  await backend.deleteVolume(layer.volume, ctx, vmOwner(vmId))
  await writeLayers(vmId, state, without(state, path), parts, ctx)
}

async function merge(
  vmId: string,
  step: Merge,
  state: LayerState,
  parts: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const [top, base] = [layerAt(state, step.top), layerAt(state, step.base)]
  const { live, config } = state.halves
  const disk = [config, live].flatMap((half) => half?.facts.disks ?? []).find(({ id }) => id === base.disk)
  if (disk === undefined) return
  await refuseShared(vmId, base, parts, ctx)
  await writeInto(vmId, disk, { top, base }, state, parts, ctx)
  if (chainAt(config, disk.targetDev)[0] === top.path) {
    const chain = await chainFrom(base, parts, ctx)
    await defineChains(vmId, new Map([[disk.targetDev, chain]]), parts.client, ctx.signal)
  }
  const after = await readLayerState(vmId, parts, ctx)
  // What a snapshot stood for is in the file below now.
  const moved = (layer: DomainLayer) =>
    layer.path === base.path
      ? { ...layer, keeps: top.keeps }
      : layer.path === top.path
        ? { ...layer, keeps: '' }
        : layer
  if (top.keeps !== '') await writeLayers(vmId, after, after.layers.map(moved), parts, ctx)
  const { layers: ability, config: pool } = (await parts.deps.pools.require(top.poolId, ctx)).backend
  if (ability === undefined) throw new AgentError('UNIMPLEMENTED', `pool ${pool.poolId} cannot merge layers`)
  // Those that QEMU has moved itself are only recorded.
  const above = after.layers.filter(
    ({ backing, path }) => backing === top.path || (backing === base.path && path !== top.path),
  )
  for (const { volume } of above) await ability.putOn(volume, base, ctx)
  if (after.active.has(top.path)) return
  await drop(vmId, top.path, await readLayerState(vmId, parts, ctx), parts, ctx)
}

async function writeInto(
  vmId: string,
  { targetDev: target }: DomainDisk,
  { top, base }: { readonly top: DomainLayer; readonly base: DomainLayer },
  state: LayerState,
  parts: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const { live } = state.halves
  if (state.active.has(base.path) && !chainAt(live, target).includes(top.path)) return
  if (chainAt(live, target).includes(top.path)) {
    const outcome = await commitLive({ vmId, target, top: top.path, base: base.path }, parts, ctx)
    if (outcome === 'done') return
    throw new AgentError('VM_STATE_CONFLICT', `VM ${vmId} went off while its disk ${base.disk} was merged; repeat it`)
  }
  // Written before, by QEMU: whoever stands on the base now must not see it change.
  const above = state.layers.filter(({ backing, path }) => backing === base.path && path !== top.path)
  if (above.length > 0 || state.open.has(base.path)) return
  const { backend } = await parts.deps.pools.require(top.poolId, ctx)
  ctx.progress?.({ phase: `merge of disk ${base.disk}` })
  const { layers } = backend
  await withLease(state.halves.config.facts, parts.deps, async () => layers?.commit(top.volume, base, ctx), ctx)
}

// libvirtd died after QEMU had a new overlay and before it was written down: the guest's data go there, and must not be missed at its next start.
async function repairStrays(vmId: string, state: LayerState, parts: SnapshotParts, ctx: OpContext): Promise<void> {
  const { halves, layers, open } = state
  if (halves.live === undefined) return
  const chains = new Map<string, Awaited<ReturnType<typeof chainFrom>>>()
  for (const { id, targetDev } of halves.live.facts.disks) {
    const known = chainAt(halves.live, targetDev)
    const stray = layers.filter(({ disk, path }) => disk === id && open.has(path) && !known.includes(path)).at(-1)
    if (stray !== undefined) chains.set(targetDev, await chainFrom(stray, parts, ctx))
  }
  if (chains.size === 0) return
  await defineChains(vmId, chains, parts.client, ctx.signal)
  throw new AgentError(
    'DISK_CHAIN_BROKEN',
    `VM ${vmId}: its guest writes to files that libvirt does not know of, because libvirtd died while it took them into use (disks ${[...chains.keys()].join(', ')}); its next start uses them. Power it off and on, then repeat this`,
  )
}

async function refuseShared(
  vmId: string,
  { path, disk }: DomainLayer,
  { deps }: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const holders = await otherHolders(path, vmId, deps.domains)
  if (holders.length === 0) holders.push(...((await deps.overlays?.ofOthers(path, vmOwner(vmId), ctx)) ?? []))
  if (holders.length === 0) return
  throw new AgentError(
    'VOLUME_IN_USE',
    `VM ${vmId}: layer ${quote(path)} of disk ${disk} stays as it is: ${holders.join(', ')} uses it`,
  )
}

function layerAt({ layers }: LayerState, path: string): LayerState['layers'][number] {
  const layer = layers.find((one) => one.path === path)
  if (layer === undefined) throw new AgentError('INTERNAL', `${quote(path)} is no layer`)
  return layer
}

function without({ layers }: LayerState, path: string): DomainLayer[] {
  return layers.filter((layer) => layer.path !== path)
}
