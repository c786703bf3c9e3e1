import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { VmSnapshot } from '../core/model.ts'
import { VIR_DOMAIN_SNAPSHOT_CREATE, VIR_DOMAIN_SNAPSHOT_REVERT, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el } from '../libvirt/xml-node.ts'
import { delay } from '../platform/clock.ts'
import { imageInfo } from '../storage/qemu-img.ts'
import { findDiskFile } from './disk-chain.ts'
import { readHalves, type DomainHalves } from './domain-halves.ts'
import type { DomainDisk, DomainFacts } from './domain-info.ts'
import { planReturn, removeExternal, returnTo, takeExternal } from './external-snapshots.ts'
import { domainRef } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { refuseUnderClones } from './linked-clones.ts'
import { overlayObstacle, type PlannedOverlay } from './overlay-plan.ts'
import { otherHolders } from './pool-users.ts'
import { readSnapshots, type SnapshotParts } from './read-snapshots.ts'
import { toNode } from './read-xml.ts'
import { dropSavedState } from './saved-state.ts'
import type { MergeNotes } from './settle-layers.ts'
import type { SnapshotFacts } from './snapshot-info.ts'
import { chooseSnapshotKind, writable } from './snapshot-kind.ts'
import { snapshotXml } from './snapshot-plan.ts'
import { withLease } from './with-lease.ts'

const READ_TIMEOUT_MS = 30_000
const CHANGE_TIMEOUT_MS = 10 * 60_000
/** A guest's memory is written at no less. */
const SLOWEST_BYTES_PER_MS = 10_000
const JOB_POLL_MS = 500
const NO_JOB = 0

/** How a new snapshot is to be. */
export interface SnapshotWish {
  readonly name: string
  readonly description: string
  readonly quiesce?: boolean
  /** True: the memory of a running VM too, or nothing; false: the disks alone; undefined: as it can be. */
  readonly includeMemory: boolean | undefined
}

/** Where an operation writes down what it is at, before it is at it. */
export interface SnapshotNotes extends MergeNotes {
  begin(): Promise<void>
  frozen(frozen: boolean): Promise<void>
  /** The overlays that a VM goes back to a snapshot in; `planned` are those of an earlier run. */
  readonly planned: readonly PlannedOverlay[] | undefined
  plan(plans: readonly PlannedOverlay[]): Promise<void>
}

/**
 * Keeps a VM as it is now, inside its disks' own files or in files beside them (snapshot-kind.ts). Nothing is left of one that fails but what `removeSnapshot` removes. Errors:
 * VM_NOT_FOUND, SNAPSHOT_UNSUPPORTED, CONFLICT, POOL_FULL, DISK_CHAIN_BROKEN, GUEST_*, LIBVIRT_*.
 */
export async function takeSnapshot(
  vmId: string,
  wish: SnapshotWish,
  parts: SnapshotParts,
  notes: SnapshotNotes,
  ctx: OpContext,
): Promise<VmSnapshot> {
  const { client, deps } = parts
  await deps.splits?.refuse(vmId, ctx.signal)
  const halves = await readHalves(client, vmId, ctx.signal)
  const { includeMemory } = wish
  const snapshots = await readSnapshots(vmId, parts, ctx.signal)
  const noOverlay = (disk: DomainDisk) => overlayObstacle(disk, parts)
  const kind = chooseSnapshotKind({ halves, snapshots, includeMemory, noOverlay })
  await checkChains(halves, writable(halves), parts, ctx)
  if (kind === 'internal') await takeInternal(vmId, wish, halves, parts, notes, ctx)
  else {
    const options = {
      quiesce: wish.quiesce === true,
      begin: () => notes.begin(),
      note: (on: boolean) => notes.frozen(on),
    }
    await takeExternal(vmId, wish, options, parts, ctx)
  }
  const made = (await readSnapshots(vmId, parts, ctx.signal)).find(({ id }) => id === wish.name)
  if (made === undefined) {
    throw new AgentError('CONFLICT', `snapshot ${quote(wish.name)} of VM ${vmId} is gone: somebody else removed it`)
  }
  await requireWhole(vmId, made, parts, ctx)
  return made
}

async function takeInternal(
  vmId: string,
  about: Pick<SnapshotWish, 'name' | 'description'>,
  halves: DomainHalves,
  { client, deps }: SnapshotParts,
  notes: SnapshotNotes,
  ctx: OpContext,
): Promise<void> {
  const disks = writable(halves)
  await refuseForeign(vmId, about.name, disks, ctx)
  const memoryBytes = halves.live === undefined ? 0 : halves.live.facts.memoryBytes
  const poolId = disks[0]?.poolId ?? ''
  const space = poolId === '' ? undefined : await deps.pools.reserve(poolId, memoryBytes, ctx, `snapshot of VM ${vmId}`)
  try {
    await notes.begin()
    const args = { dom: domainRef(vmId), xml_desc: writeXml(snapshotXml(about, halves, disks)), flags: 0 }
    const timeoutMs = CHANGE_TIMEOUT_MS + memoryBytes / SLOWEST_BYTES_PER_MS
    await client.call('remote:DOMAIN_SNAPSHOT_CREATE_XML', args, { timeoutMs })
  } catch (error) {
    throw vmError(error, vmId)
  } finally {
    space?.release()
  }
}

/**
 * Brings a VM back to a snapshot: disks, memory and definition as they were then; it runs afterwards if it ran then and its memory was kept, else it is off. What was there since is lost. Checked before anything is changed: every disk of then
 * has to be there with its part of the snapshot, and be no other VM's by now. Errors: VM_NOT_FOUND, SNAPSHOT_NOT_FOUND, SNAPSHOT_UNSUPPORTED, VOLUME_IN_USE, DISK_CHAIN_BROKEN, LIBVIRT_*.
 */
export async function revertToSnapshot(
  vmId: string,
  name: string,
  parts: SnapshotParts,
  notes: SnapshotNotes,
  ctx: OpContext,
): Promise<void> {
  const { client } = parts
  await parts.deps.splits?.refuse(vmId, ctx.signal)
  const snapshot = (await readSnapshots(vmId, parts, ctx.signal)).find(({ id }) => id === name)
  if (snapshot === undefined) {
    throw new AgentError('SNAPSHOT_NOT_FOUND', `VM ${vmId} has no snapshot ${quote(name)}`)
  }
  await refuseGivenAway(vmId, snapshot, parts)
  await requireWhole(vmId, snapshot, parts, ctx)
  if (snapshot.external.length > 0) {
    await returnByOverlays(vmId, snapshot, parts, notes, ctx)
    return
  }
  const { config } = await readHalves(client, vmId, ctx.signal)
  const disks = [...config.facts.disks, ...(snapshot.domain?.disks ?? [])]
  await refuseUnderClones({ vmId, disks }, parts.deps.domains, parts.deps.overlays, ctx)
  await withLease({ vmId, disks }, parts.deps, () => revertInternal(vmId, name, parts, notes, ctx), ctx)
  const halves = await readHalves(client, vmId, ctx.signal)
  await checkChains(halves, halves.config.facts.disks, parts, ctx)
}

async function revertInternal(
  vmId: string,
  name: string,
  { client }: SnapshotParts,
  notes: SnapshotNotes,
  ctx: OpContext,
): Promise<void> {
  await notes.begin()
  // Memory of another time must not go on with these disks.
  await dropSavedState(client, vmId, ctx.signal)
  const call = (flags: number) =>
    client.call(
      'remote:DOMAIN_REVERT_TO_SNAPSHOT',
      { snap: { name, dom: domainRef(vmId) }, flags },
      { timeoutMs: CHANGE_TIMEOUT_MS },
    )
  try {
    await call(0).catch((error: unknown) => {
      // It wants to hear that losing the present state is meant: that is what was asked for.
      if (!isLibvirtError(error, VIR_ERR.SNAPSHOT_REVERT_RISKY)) throw error
      return call(VIR_DOMAIN_SNAPSHOT_REVERT.FORCE)
    })
  } catch (error) {
    throw vmError(error, vmId)
  }
}

async function returnByOverlays(
  vmId: string,
  snapshot: SnapshotFacts,
  parts: SnapshotParts,
  notes: SnapshotNotes,
  ctx: OpContext,
): Promise<void> {
  const plans =
    notes.planned ?? (await planReturn(snapshot, await readHalves(parts.client, vmId, ctx.signal), parts, ctx))
  await notes.plan(plans)
  await returnTo(vmId, snapshot.id, plans, parts, notes, ctx)
  const halves = await readHalves(parts.client, vmId, ctx.signal)
  await checkChains(halves, halves.config.facts.disks, parts, ctx)
}

/**
 * Forgets a snapshot and gives back its space; those taken after it stay, and hang on its parent. With `adopt` also one of which only the part inside the disks is left, after libvirtd died over it: only for
 * a name that is known to be that of such a one, because volumes have snapshots of their own there. Success when it is gone. Errors: SNAPSHOT_UNSUPPORTED, LIBVIRT_*; VM_NOT_FOUND.
 */
export async function removeSnapshot(
  vmId: string,
  name: string,
  adopt: boolean,
  parts: SnapshotParts,
  notes: MergeNotes,
  ctx: OpContext,
): Promise<void> {
  const { client } = parts
  await parts.deps.splits?.refuse(vmId, ctx.signal)
  await untilIdle(vmId, parts, ctx)
  const snapshot = (await readSnapshots(vmId, parts, ctx.signal)).find(({ id }) => id === name)
  const { config } = await readHalves(client, vmId, ctx.signal)
  if (snapshot === undefined ? config.facts.layers.length > 0 : snapshot.external.length > 0) {
    await removeExternal(vmId, name, parts, notes, ctx)
    return
  }
  if (snapshot === undefined && (!adopt || !(await adoptRemains(vmId, name, parts, ctx)))) return
  try {
    await client.call(
      'remote:DOMAIN_SNAPSHOT_DELETE',
      { snap: { name, dom: domainRef(vmId) }, flags: 0 },
      { timeoutMs: CHANGE_TIMEOUT_MS },
    )
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN_SNAPSHOT)) throw vmError(error, vmId)
  }
}

// libvirtd goes on with a snapshot whose caller has died, and shows it only when it is complete.
async function untilIdle(vmId: string, { client }: SnapshotParts, ctx: OpContext): Promise<void> {
  for (;;) {
    try {
      const { type } = await client.call(
        'remote:DOMAIN_GET_JOB_INFO',
        { dom: domainRef(vmId) },
        { timeoutMs: READ_TIMEOUT_MS, signal: ctx.signal },
      )
      if (type === NO_JOB) return
    } catch (error) {
      // A VM that is off has no jobs to tell of.
      if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) return
      throw vmError(error, vmId)
    }
    await delay(JOB_POLL_MS, ctx.signal)
  }
}

/** Makes libvirt know what a dead libvirtd left inside the disks, so that it can delete it; false when there is nothing. */
async function adoptRemains(vmId: string, name: string, parts: SnapshotParts, ctx: OpContext): Promise<boolean> {
  const halves = await readHalves(parts.client, vmId, ctx.signal)
  const disks: DomainDisk[] = []
  for (const disk of halves.config.facts.disks) if (await hasPart(disk, name, ctx)) disks.push(disk)
  if (disks.length === 0) return false
  ctx.log.warn({ vm: vmId, snapshot: name, disks: disks.map(({ id }) => id) }, 'removing what is left of a snapshot')
  const { children, ...rest } = snapshotXml({ name, description: '' }, halves, disks)
  const xml = writeXml({
    ...rest,
    children: [
      ...(Array.isArray(children) ? children : []),
      el('state', {}, halves.live === undefined ? 'shutoff' : 'running'),
      el('creationTime', {}, String(Math.floor(Date.now() / 1000))),
      toNode(halves.config.xml),
    ],
  })
  const args = { dom: domainRef(vmId), xml_desc: xml, flags: VIR_DOMAIN_SNAPSHOT_CREATE.REDEFINE }
  await parts.client
    .call('remote:DOMAIN_SNAPSHOT_CREATE_XML', args, { timeoutMs: CHANGE_TIMEOUT_MS })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  return true
}

// Every layer is there, in an allowed place, and is what the domain says: otherwise the next start would fail, and a snapshot with it.
async function checkChains(
  { live, config }: DomainHalves,
  disks: readonly DomainDisk[],
  { deps }: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const known = new Set((live ?? config).facts.paths)
  for (const disk of disks) {
    if (disk.format !== 'qcow2' || !disk.path.startsWith('/')) continue
    const { layers } = await findDiskFile(disk.path, 'qcow2', deps, ctx)
    const stray = layers.find((layer) => layer.type === 'file' && !known.has(layer.path))
    if (stray === undefined) continue
    throw broken(
      config.facts,
      `disk ${disk.id} stands on ${stray.type === 'file' ? quote(stray.path) : 'a layer'}, of which its definition knows nothing`,
    )
  }
}

// QEMU would quietly replace a snapshot of that name that the pool keeps.
async function refuseForeign(vmId: string, name: string, disks: readonly DomainDisk[], ctx: OpContext): Promise<void> {
  for (const disk of disks) {
    if (!(await hasPart(disk, name, ctx))) continue
    throw new AgentError(
      'CONFLICT',
      `disk ${disk.id} of VM ${vmId} has a snapshot ${quote(name)} that is not the VM's; use another name, or delete that of the volume`,
    )
  }
}

// A disk that was taken out since may have been given to another VM, whose data they are now.
async function refuseGivenAway(vmId: string, snapshot: SnapshotFacts, { deps }: SnapshotParts): Promise<void> {
  const targets = [...snapshot.internal, ...snapshot.external]
  const kept = (snapshot.domain?.disks ?? []).filter(({ targetDev }) => targets.includes(targetDev))
  for (const { id, path, place } of kept) {
    const holders = await otherHolders(place, vmId, deps.domains)
    if (holders.length === 0) continue
    throw new AgentError(
      'VOLUME_IN_USE',
      `snapshot ${quote(snapshot.id)} of VM ${vmId} would overwrite disk ${id} (${path}), which ${holders.join(', ')} has now; detach it there first`,
    )
  }
}

async function requireWhole(
  vmId: string,
  snapshot: SnapshotFacts,
  parts: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const disks = snapshot.domain?.disks ?? []
  const { config } = await readHalves(parts.client, vmId, ctx.signal)
  const isThere = async (disk: DomainDisk) => {
    if (snapshot.internal.includes(disk.targetDev)) return hasPart(disk, snapshot.id, ctx)
    const layer = config.facts.layers.find(({ keeps, disk: id }) => keeps === snapshot.id && id === disk.id)
    return layer !== undefined && (await findDiskFile(layer.path, layer.format, parts.deps, ctx)).layers.length > 0
  }
  for (const target of [...snapshot.internal, ...snapshot.external]) {
    const disk = disks.find(({ targetDev }) => targetDev === target)
    const whole =
      disk !== undefined &&
      (await isThere(disk).catch((error: unknown) => {
        ctx.signal.throwIfAborted()
        ctx.log.warn({ vm: vmId, disk: disk.path, err: errorText(error) }, 'a disk of a snapshot cannot be read')
        return false
      }))
    if (!whole) {
      throw broken(
        { vmId },
        `snapshot ${quote(snapshot.id)} is not whole: disk ${disk?.id ?? target} (${disk?.path ?? 'unknown'}) lacks its part`,
      )
    }
  }
}

async function hasPart({ path, format }: DomainDisk, name: string, ctx: OpContext): Promise<boolean> {
  if (format !== 'qcow2' || !path.startsWith('/')) return false
  return (await imageInfo(path, 'qcow2', ctx)).snapshots.some((each) => each.name === name)
}

function broken({ vmId }: Pick<DomainFacts, 'vmId'>, why: string): AgentError {
  return new AgentError('DISK_CHAIN_BROKEN', `VM ${vmId}: ${why}`)
}
