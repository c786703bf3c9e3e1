import type { DiskSource } from '../../core/model.ts'
import { writeXml } from '../../libvirt/write-xml.ts'
import type { XmlNode } from '../../libvirt/xml-node.ts'
import { backingStoreXml, sourceXml } from '../disk-xml.ts'
import { readXml, toNode, type XmlElement } from '../read-xml.ts'

/** What is elsewhere at the target. */
export interface TargetPlaces {
  /** The VM's own directory at the source and at the target. */
  readonly directory: { readonly from: string; readonly to: string }
  /** Layers of each disk, active one first, by its name in the domain. */
  readonly disks: ReadonlyMap<string, readonly [DiskSource, ...DiskSource[]]>
}

/** A domain XML of the source as it has to be at the target. Pure. */
export function rewriteForTarget(xml: string, places: TargetPlaces): string {
  const root = readXml(xml)
  return writeXml(
    toNode(root, (child) => {
      if (child.name !== 'devices') return moved(toNode(child), places)
      const devices = toNode(child, (device) => (device.name === 'disk' ? disk(device, places) : toNode(device)))
      return moved(devices, places)
    }),
  )
}

function disk(element: XmlElement, { disks }: TargetPlaces): XmlNode {
  const layers = disks.get(element.first('target')?.attribute('dev') ?? '')
  if (layers === undefined || (element.attribute('device') ?? 'disk') !== 'disk') return toNode(element)
  const [active, ...backing] = layers
  const node = toNode(element, (child) => {
    if (child.name === 'source') return sourceXml(active)
    return child.name === 'backingStore' || child.name === 'mirror' ? false : toNode(child)
  })
  return {
    ...node,
    attributes: { ...node.attributes, type: active.type },
    children: [...childrenOf(node), backingStoreXml(backing)],
  }
}

function childrenOf({ children }: XmlNode): readonly XmlNode[] {
  return typeof children === 'string' ? [] : children
}

// Seed, console log and whatever else is in the VM's own directory.
function moved(node: XmlNode, places: TargetPlaces): XmlNode {
  const { from, to } = places.directory
  const path = <T>(value: T) =>
    typeof value === 'string' && value.startsWith(`${from}/`) ? `${to}${value.slice(from.length)}` : value
  const attributes = Object.fromEntries(Object.entries(node.attributes).map(([name, value]) => [name, path(value)]))
  const children =
    typeof node.children === 'string' ? path(node.children) : node.children.map((child) => moved(child, places))
  return { ...node, attributes, children }
}
