import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf, type DiskSource } from '../../core/model.ts'
import { VIR_DOMAIN_AFFECT, VIR_DOMAIN_XML } from '../../libvirt/constants.ts'
import { el, type XmlNode } from '../../libvirt/xml-node.ts'
import { readMounts } from '../../platform/mounts.ts'
import { withChains } from '../chain-xml.ts'
import { redefine } from '../define-chains.ts'
import { devicePlace } from '../device-place.ts'
import { diskIoFor } from '../disk-io.ts'
import { mediaXml, readHalves, type DomainHalf } from '../domain-halves.ts'
import { chainAt } from '../layer-state.ts'
import { domainRef, readDomainXml } from '../libvirt-domain.ts'
import { vmNotFound } from '../libvirt-errors.ts'
import { editMetadata, plainMetadata, withEntry, withMetadata } from '../metadata-edit.ts'
import { readXml, toNode, type XmlElement } from '../read-xml.ts'
import { diskAt, type MoveParts } from './move-request.ts'
import type { MovePlan } from './plan-move.ts'

/** A volume that a disk has moved to. */
export interface MovedTo {
  readonly source: DiskSource
  readonly sizeBytes: number
}

/**
 * Makes a moved disk what the VM has at its next start, the way of opening it and our metadata included, in one step; a guest that runs is told of in our metadata alone. The same again changes nothing. Errors: VM_NOT_FOUND, LIBVIRT_*.
 */
export async function defineMoved(
  vmId: string,
  plan: MovePlan,
  to: MovedTo,
  parts: Pick<MoveParts, 'client'>,
  ctx: OpContext,
): Promise<void> {
  const { live } = await readHalves(parts.client, vmId, ctx.signal)
  if (live !== undefined) {
    const note = (text: string) => withEntry(text, 'disks', movedEntry(plan, to))
    await editMetadata(parts.client, vmId, VIR_DOMAIN_AFFECT.LIVE, note, ctx.signal)
  }
  await defineNext(vmId, plan, to, parts, ctx)
}

/** What `defineMoved` does to the next start, and nothing else: for a VM that is off. Errors as there. */
export async function defineNext(
  vmId: string,
  plan: MovePlan,
  to: MovedTo,
  { client }: Pick<MoveParts, 'client'>,
  ctx: OpContext,
): Promise<void> {
  const { source } = to
  const domain = await readNext(vmId, client, ctx)
  const moved = withChains(domain, new Map([[plan.target, [source]]]), diskIoFor(source, await readMounts()))
  const metadata = withEntry(plainMetadata(domain), 'disks', movedEntry(plan, to))
  await redefine(vmId, withMetadata(moved, metadata), client)
}

/** Makes the disk that a guest was started with, while a copy of it was put in its place, what the VM has at its next start too. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function defineBack(
  vmId: string,
  { target }: Pick<MovePlan, 'target'>,
  live: DomainHalf,
  { client }: Pick<MoveParts, 'client'>,
  ctx: OpContext,
): Promise<void> {
  const [had, disk] = [diskAt(live, target), mediaXml(live).find((one) => nameOf(one) === target)]
  if (had === undefined || disk === undefined)
    throw new AgentError('INTERNAL', `VM ${vmId} runs without disk ${target}`)
  const { id, poolId, volume, owned, bootable, sizeBytes } = had
  const entry = {
    id,
    target,
    pool: poolId,
    volume,
    owned: owned ? 'yes' : 'no',
    bootable: bootable ? 'yes' : 'no',
    size: sizeBytes,
  }
  const domain = await readNext(vmId, client, ctx)
  const back = toNode(domain, (part) => {
    if (part.name !== 'devices') return toNode(part)
    return toNode(part, (one) => (one.name === 'disk' && nameOf(one) === target ? openedAs(one, disk) : toNode(one)))
  })
  await redefine(vmId, withMetadata(back, withEntry(plainMetadata(domain), 'disks', entry)), client)
}

function movedEntry(plan: MovePlan, { sizeBytes }: MovedTo): Readonly<Record<string, string | number>> {
  return {
    id: plan.diskId,
    target: plan.target,
    pool: plan.volume.poolId,
    volume: plan.volume.name,
    owned: 'yes',
    bootable: plan.bootable ? 'yes' : 'no',
    size: sizeBytes,
  }
}

async function readNext(vmId: string, client: MoveParts['client'], ctx: OpContext): Promise<XmlElement> {
  const flags = VIR_DOMAIN_XML.INACTIVE | VIR_DOMAIN_XML.SECURE
  const xml = await readDomainXml(client, domainRef(vmId), vmId, ctx.signal, flags)
  if (xml === undefined) throw vmNotFound(vmId)
  return readXml(xml)
}

const HOW_OPENED = new Set(['driver', 'source', 'backingStore', 'mirror'])

// The rest of a disk is about the device that the guest sees.
function openedAs(disk: XmlElement, other: XmlElement): XmlNode {
  const device = disk.children.filter(({ name }) => !HOW_OPENED.has(name))
  const opened = other.children.filter(({ name }) => HOW_OPENED.has(name) && name !== 'mirror')
  return el(
    disk.name,
    { ...disk.attributes, type: other.attribute('type') ?? 'file' },
    [...opened, ...device].map((child) => toNode(child)),
  )
}

function nameOf(disk: XmlElement): string | undefined {
  return disk.first('target')?.attribute('dev')
}

/** Looks whether the VM has the moved disk and nothing else, now and at its next start. DISK_CHAIN_BROKEN, LIBVIRT_*. */
export async function checkMoved(
  vmId: string,
  { target }: MovePlan,
  source: DiskSource,
  { client }: MoveParts,
  ctx: OpContext,
): Promise<void> {
  const { live, config } = await readHalves(client, vmId, ctx.signal)
  const place = await devicePlace(placeOf(source))
  for (const half of [config, ...(live === undefined ? [] : [live])]) {
    const chain = await Promise.all(chainAt(half, target).map(devicePlace))
    if (chain.length === 1 && chain[0] === place) continue
    throw new AgentError(
      'DISK_CHAIN_BROKEN',
      `VM ${vmId}: its guest writes to ${quote(place)}, and libvirt, which died while it was put there, takes ${quote(chain[0] ?? 'nothing')} for disk ${target}. The next start uses the right one: power the VM off and on`,
    )
  }
}
