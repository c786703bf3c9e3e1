import type { DiskSource } from '../core/model.ts'
import type { DiskIo } from './definition.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import { backingStoreXml, sourceXml } from './disk-xml.ts'
import { toNode, type XmlElement } from './read-xml.ts'

/** Layers of a disk, active one first. */
export type DiskChain = readonly [DiskSource, ...DiskSource[]]

/** A `<domain>` whose disks at the target names of `chains` are made of these files, all of them named so that libvirt looks for none; `io`: opened in another way than before. The rest is as it was. Pure. */
export function withChains(domain: XmlElement, chains: ReadonlyMap<string, DiskChain>, io?: DiskIo): XmlNode {
  return toNode(domain, (part) => {
    if (part.name !== 'devices') return toNode(part)
    return toNode(part, (device) => {
      const chain = device.name === 'disk' ? chains.get(device.first('target')?.attribute('dev') ?? '') : undefined
      return chain === undefined ? toNode(device) : diskWith(device, chain, io)
    })
  })
}

const CHAIN_PARTS = new Set(['source', 'backingStore', 'mirror'])

function diskWith(disk: XmlElement, [source, ...backing]: DiskChain, io?: DiskIo): XmlNode {
  const kept = disk.children.filter(({ name }) => !CHAIN_PARTS.has(name))
  const parts = kept.map((child) => {
    const node = toNode(child)
    const opened = io === undefined ? {} : { cache: io.cache, io: io.io }
    return child.name === 'driver' ? el('driver', { ...node.attributes, type: source.format, ...opened }) : node
  })
  return el(disk.name, { ...disk.attributes, type: source.type }, [
    ...parts,
    sourceXml(source),
    backingStoreXml(backing),
  ])
}
