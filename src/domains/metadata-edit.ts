import { AgentError } from '../core/errors.ts'
import { VIR_DOMAIN_METADATA } from '../libvirt/constants.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import type { DomainDisk, DomainLayer } from './domain-info.ts'
import { METADATA_NAMESPACE } from './metadata-xml.ts'
import { readXml, toNode, type XmlElement } from './read-xml.ts'

/** Lists of our metadata, with the name of their entries and the attribute that ties an entry to its device. */
const LISTS = {
  disks: { entry: 'disk', key: 'target' },
  cdroms: { entry: 'cdrom', key: 'target' },
  nics: { entry: 'nic', key: 'mac' },
} as const

export type DeviceList = keyof typeof LISTS

const TIMEOUT_MS = 30_000
const PREFIX = 'lqx'

/** Changes our metadata of a domain; an edit that changes nothing writes nothing. `flags` are of virDomainModificationImpact. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function editMetadata(
  libvirt: LibvirtCalls,
  vmId: string,
  flags: number,
  edit: (metadata: string) => string,
  signal: AbortSignal,
): Promise<void> {
  const call = { dom: domainRef(vmId), type: VIR_DOMAIN_METADATA.ELEMENT, uri: METADATA_NAMESPACE }
  const options = { timeoutMs: TIMEOUT_MS, signal }
  try {
    const { metadata } = await libvirt.call('remote:DOMAIN_GET_METADATA', { ...call, flags: 0 }, options)
    const changed = edit(metadata)
    if (changed === metadata) return
    await libvirt.call('remote:DOMAIN_SET_METADATA', { ...call, metadata: changed, key: PREFIX, flags }, options)
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/** Our metadata, as libvirt gives and takes it, with an entry in place of whatever it had for the same device. Pure. */
export function withEntry(
  metadata: string,
  list: DeviceList,
  attributes: Readonly<Record<string, string | number>>,
): string {
  const key = String(attributes[LISTS[list].key])
  return edited(metadata, list, (entries, name) => [...entries.filter(unless(list, key)), el(name, attributes)])
}

/** Our metadata without the entry for the device with the target name or MAC address `key`. Pure. */
export function withoutEntry(metadata: string, list: DeviceList, key: string): string {
  return edited(metadata, list, (entries) => entries.filter(unless(list, key)))
}

/** Our metadata with these layers of disks as the only ones, and disks as the volumes that `volumes` has for their ids. Pure. */
export function withLayers(
  metadata: string,
  layers: readonly DomainLayer[],
  volumes: ReadonlyMap<string, Pick<DomainDisk, 'poolId' | 'volume' | 'owned'>>,
): string {
  const root = readXml(metadata)
  const prefix = root.name.includes(':') ? `${PREFIX}:` : ''
  const node = toNode(root, (child) => {
    if (child.name === `${prefix}layers`) return false
    if (child.name !== `${prefix}disks`) return toNode(child)
    return toNode(child, (entry) => {
      const disk = toNode(entry)
      const volume = volumes.get(entry.attribute('id') ?? '')
      if (volume === undefined) return disk
      const { poolId: pool, volume: name, owned } = volume
      return { ...disk, attributes: { ...disk.attributes, pool, volume: name, owned: owned ? 'yes' : 'no' } }
    })
  })
  const entries = layers.map(({ poolId, owned, overlay, ...rest }) =>
    el(`${prefix}layer`, { ...rest, pool: poolId, owned: owned ? 'yes' : 'no', overlay: overlay ? 'yes' : 'no' }),
  )
  const own = entries.length === 0 ? [] : [el(`${prefix}layers`, {}, entries)]
  return writeXml({ ...node, children: [...(Array.isArray(node.children) ? node.children : []), ...own] })
}

/** Our metadata of a `<domain>` as it is written there, changed as by `withLayers`. INTERNAL when it has none. Pure. */
export function metadataOf(domain: XmlElement, ...change: Tail<Parameters<typeof withLayers>>): string {
  return withLayers(plainMetadata(domain), ...change)
}

/** Our metadata of a `<domain>` as it is written there. INTERNAL when it has none. Pure. */
export function plainMetadata(domain: XmlElement): string {
  const own = domain.first('metadata', `${PREFIX}:vm`)
  if (own === undefined) throw new AgentError('INTERNAL', 'a definition without our metadata')
  return writeXml(toNode(own))
}

/** A `<domain>` with other metadata of ours. Pure. */
export function withMetadata(domain: XmlNode, metadata: string): XmlNode {
  const own = toNode(readXml(metadata))
  const replace = (node: XmlNode, name: string, change: (child: XmlNode) => XmlNode): XmlNode => ({
    ...node,
    children:
      typeof node.children === 'string'
        ? node.children
        : node.children.map((child) => (child.name === name ? change(child) : child)),
  })
  return replace(domain, 'metadata', (all) => replace(all, `${PREFIX}:vm`, () => own))
}

type Tail<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never

function unless(list: DeviceList, key: string): (entry: XmlNode) => boolean {
  return ({ attributes }) => attributes[LISTS[list].key] !== key
}

// libvirt takes our prefix off the names, or leaves it on, depending on its version.
function edited(
  metadata: string,
  list: DeviceList,
  edit: (entries: readonly XmlNode[], name: string) => XmlNode[],
): string {
  const root = readXml(metadata)
  const prefix = root.name.includes(':') ? `${PREFIX}:` : ''
  const node = toNode(root, (child) => {
    if (child.name !== prefix + list) return toNode(child)
    const entries = child.children.map((entry) => toNode(entry))
    return { ...toNode(child), children: edit(entries, prefix + LISTS[list].entry) }
  })
  return writeXml(node)
}
