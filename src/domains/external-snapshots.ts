import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { VIR_DOMAIN_SNAPSHOT_CREATE, VIR_DOMAIN_SNAPSHOT_DELETE, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import type { LeasedDisk } from '../storage/guest-lease.ts'
import { withChains, type DiskChain } from './chain-xml.ts'
import { defineChains, redefine } from './define-chains.ts'
import { readHalves, type DomainHalves } from './domain-halves.ts'
import type { DomainLayer } from './domain-info.ts'
import { domainRef, isOff } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { metadataOf, withMetadata } from './metadata-edit.ts'
import { makeOverlay, planOverlay, withPlanned, type PlannedOverlay } from './overlay-plan.ts'
import { whileFrozen } from './quiesce.ts'
import { readSnapshots, readWholeSnapshot, redefineSnapshot, type SnapshotParts } from './read-snapshots.ts'
import { dropSavedState, hasSavedState } from './saved-state.ts'
import { chainFrom, settleLayers, writeLayers, type MergeNotes } from './settle-layers.ts'
import { definitionOfThen } from './snapshot-files.ts'
import type { SnapshotFacts } from './snapshot-info.ts'
import { writable } from './snapshot-kind.ts'
import { externalXml } from './snapshot-plan.ts'
import { toNode } from './read-xml.ts'

const CHANGE_TIMEOUT_MS = 120_000
const DESTROY_TIMEOUT_MS = 60_000

/** How a snapshot is taken, and where its beginning is written down. */
export interface TakeOptions {
  readonly quiesce: boolean
  /** On disk before anything is changed. */
  readonly begin: () => Promise<void>
  readonly note: (frozen: boolean) => Promise<void>
}

/**
 * Keeps the disks of a VM, running or not, by letting them go on in overlays beside them. What fails or dies is taken back by `removeExternal`. Errors: SNAPSHOT_UNSUPPORTED, DISK_CHAIN_BROKEN, POOL_*, those of whileFrozen, LIBVIRT_*.
 */
export async function takeExternal(
  vmId: string,
  about: { readonly name: string; readonly description: string },
  { quiesce, begin, note }: TakeOptions,
  parts: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const { client } = parts
  const halves = await readHalves(client, vmId, ctx.signal)
  await refuseSaved(vmId, halves, parts, ctx)
  const { facts } = halves.config
  const plans: PlannedOverlay[] = []
  for (const disk of writable(halves)) plans.push(await planOverlay(facts, disk, parts, ctx))
  await begin()
  const layers = withPlanned(facts.layers, plans, about.name)
  // What belongs to the VM has to be known before it is there.
  await writeLayers(vmId, { halves }, layers, parts, ctx)
  for (const plan of plans) await makeOverlay(vmId, plan, parts, ctx)
  const { DISK_ONLY, REUSE_EXT, ATOMIC } = VIR_DOMAIN_SNAPSHOT_CREATE
  const xml = writeXml(externalXml(about, halves, plans))
  const args = { dom: domainRef(vmId), xml_desc: xml, flags: DISK_ONLY | REUSE_EXT | ATOMIC }
  const create = async () => {
    await client
      .call('remote:DOMAIN_SNAPSHOT_CREATE_XML', args, { timeoutMs: CHANGE_TIMEOUT_MS })
      .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  }
  if (quiesce && halves.state === 'RUNNING') await whileFrozen(vmId, parts, note, create, ctx)
  else await create()
  // Of a VM that is off libvirt forgets what is below the overlay.
  if (halves.live === undefined) await defineChains(vmId, await chainsOf(plans, parts, ctx), client, ctx.signal)
  await writeLayers(vmId, { halves: await readHalves(client, vmId, ctx.signal) }, layers, parts, ctx)
}

/** Plans going back: an overlay for every disk that the snapshot kept. Errors: SNAPSHOT_UNSUPPORTED for one that was not made by this agent, DISK_CHAIN_BROKEN, POOL_*. */
export async function planReturn(
  snapshot: SnapshotFacts,
  { config }: Pick<DomainHalves, 'config'>,
  parts: SnapshotParts,
  ctx: OpContext,
): Promise<PlannedOverlay[]> {
  const plans: PlannedOverlay[] = []
  for (const disk of snapshot.domain?.disks ?? []) {
    if (!snapshot.external.includes(disk.targetDev)) continue
    const base = config.facts.layers.find((layer) => layer.keeps === snapshot.id && layer.disk === disk.id)
    if (base === undefined) throw foreign(config.facts.vmId, snapshot)
    plans.push(await planOverlay(config.facts, disk, parts, ctx, base))
  }
  return plans
}

/**
 * VM_RUNS_ELSEWHERE when another host has a VM that is off here, before files of its disks are merged or deleted: its guest reads all files of a chain, and writes to one of them, which the definition here may not have as the topmost. Errors: POOL_*,
 * those of LeaseKeeper.refuseElsewhere.
 */
async function refuseElsewhere(
  { live, config }: DomainHalves,
  { deps }: Pick<SnapshotParts, 'deps'>,
  ctx: OpContext,
): Promise<void> {
  if (live !== undefined || deps.leases === undefined) return
  const { vmId, disks, layers } = config.facts
  const files: LeasedDisk[] = disks.filter(({ place }) => layers.every(({ path }) => path !== place))
  for (const { disk, path, format, poolId, volume } of layers) {
    // One that was noted may not have been made, or is gone.
    const isThere =
      volume === '' || (await (await deps.pools.require(poolId, ctx)).backend.getVolume(volume, ctx)) !== undefined
    if (isThere) files.push({ id: disk, place: path, format, readonly: false })
  }
  await deps.leases.refuseElsewhere({ vmId, disks: files }, ctx)
}

/** Goes back as planned: the VM is off afterwards, with its definition of then. May be repeated with the same plan after a crash at any point. Errors: those of the steps. */
export async function returnTo(
  vmId: string,
  name: string,
  plans: readonly PlannedOverlay[],
  parts: SnapshotParts,
  notes: MergeNotes,
  ctx: OpContext,
): Promise<void> {
  const { client } = parts
  const halves = await readHalves(client, vmId, ctx.signal)
  await refuseElsewhere(halves, parts, ctx)
  const whole = await readWholeSnapshot(vmId, name, parts, ctx.signal)
  const then = definitionOfThen(whole)
  if (then === undefined) throw new AgentError('DISK_CHAIN_BROKEN', `snapshot ${quote(name)} has no definition`)
  const layers = withPlanned(halves.config.facts.layers, plans)
  await writeLayers(vmId, { halves }, layers, parts, ctx)
  for (const plan of plans) await makeOverlay(vmId, plan, parts, ctx)
  if (!isOff(halves.state)) await powerOff(vmId, parts)
  // Memory of another time must not go on with these disks.
  await dropSavedState(client, vmId, ctx.signal)
  // Also when there is none: an earlier run may have died in between.
  await parts.deps.leases?.forget(halves.config.facts, ctx)
  const node = withChains(then, await chainsOf(plans, parts, ctx))
  await redefine(vmId, withMetadata(node, layersIn(then, layers, plans)), client)
  await redefineSnapshot(vmId, toNode(whole), true, parts)
  await settleLayers(vmId, parts, notes, ctx)
}

/** Forgets a snapshot, if there is one of that name, and merges or deletes what only it needed. Errors: SNAPSHOT_UNSUPPORTED for one that was not made by this agent, VM_RUNS_ELSEWHERE, those of settleLayers. */
export async function removeExternal(
  vmId: string,
  name: string,
  parts: SnapshotParts,
  notes: MergeNotes,
  ctx: OpContext,
): Promise<void> {
  const halves = await readHalves(parts.client, vmId, ctx.signal)
  await refuseElsewhere(halves, parts, ctx)
  await refuseSaved(vmId, halves, parts, ctx)
  const snapshot = (await readSnapshots(vmId, parts, ctx.signal)).find(({ id }) => id === name)
  if (snapshot !== undefined) {
    requireOwn(vmId, snapshot, halves.config.facts.layers)
    const args = { snap: { name, dom: domainRef(vmId) }, flags: VIR_DOMAIN_SNAPSHOT_DELETE.METADATA_ONLY }
    try {
      await parts.client.call('remote:DOMAIN_SNAPSHOT_DELETE', args, { timeoutMs: CHANGE_TIMEOUT_MS })
    } catch (error) {
      if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN_SNAPSHOT)) throw vmError(error, vmId)
    }
  }
  await settleLayers(vmId, parts, notes, ctx)
}

// It names the files that the disks are in now, and goes on in these.
async function refuseSaved(
  vmId: string,
  { live }: DomainHalves,
  { client }: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  if (live !== undefined || !(await hasSavedState(client, vmId, ctx.signal))) return
  throw new AgentError(
    'VM_STATE_CONFLICT',
    `VM ${vmId} has its memory saved, which goes on only with its disks in the files they are in now; start it first`,
  )
}

async function chainsOf(
  plans: readonly PlannedOverlay[],
  parts: SnapshotParts,
  ctx: OpContext,
): Promise<Map<string, DiskChain>> {
  const chains = new Map<string, DiskChain>()
  for (const { target, overlay } of plans) chains.set(target, await chainFrom(overlay, parts, ctx))
  return chains
}

function layersIn(
  then: Parameters<typeof metadataOf>[0],
  layers: readonly DomainLayer[],
  plans: readonly PlannedOverlay[],
): string {
  return metadataOf(then, layers, new Map(plans.map(({ overlay }) => [overlay.disk, overlay])))
}

async function powerOff(vmId: string, { client }: SnapshotParts): Promise<void> {
  try {
    await client.call(
      'remote:DOMAIN_DESTROY_FLAGS',
      { dom: domainRef(vmId), flags: 0 },
      { timeoutMs: DESTROY_TIMEOUT_MS },
    )
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) throw vmError(error, vmId)
  }
}

function requireOwn(vmId: string, snapshot: SnapshotFacts, layers: readonly DomainLayer[]): void {
  if (!layers.some(({ keeps }) => keeps === snapshot.id)) throw foreign(vmId, snapshot)
}

function foreign(vmId: string, { id, external }: SnapshotFacts): AgentError {
  return new AgentError(
    'SNAPSHOT_UNSUPPORTED',
    `snapshot ${quote(id)} of VM ${vmId} keeps ${external.join(', ')} in other files and was not made by this agent; use the tool it was made with`,
  )
}
