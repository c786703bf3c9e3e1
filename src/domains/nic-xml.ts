import type { NicDefinition, NicTarget } from './definition.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import type { XmlElement } from './read-xml.ts'

/** libvirt counts in kilobytes per second. */
const KILOBYTES_PER_MEGABIT = 125

/** `<interface>` of a libvirt network, a bridge, an Open vSwitch, or QEMU's user-mode network. */
export function nicXml(nic: NicDefinition, bootOrder: number | undefined): XmlNode {
  const [type, ...place] = placeXml(nic.target)
  return el('interface', { type }, [
    el('mac', { address: nic.macAddress }),
    ...place,
    el('model', { type: nic.model }),
    bandwidthXml(nic.bandwidthMbps ?? 0),
    bootOrder !== undefined && el('boot', { order: bootOrder }),
  ])
}

// The type of the interface, and what says where it is plugged in.
function placeXml(target: NicTarget): [type: string, ...XmlNode[]] {
  switch (target.type) {
    case 'user':
      return ['user']
    case 'network':
      return ['network', el('source', { network: target.network })]
    case 'bridge':
      return ['bridge', el('source', { bridge: target.bridge })]
    case 'ovs':
      return [
        'bridge',
        el('source', { bridge: target.bridge }),
        ...(target.vlan === undefined ? [] : [el('vlan', {}, [el('tag', { id: target.vlan })])]),
        el('virtualport', { type: 'openvswitch' }),
      ]
  }
}

/** Where an `<interface>` of libvirt is plugged in; undefined for kinds that the agent makes none of. */
export function nicPlace(nic: XmlElement): NicTarget | undefined {
  const source = nic.first('source')
  const bridge = source?.attribute('bridge') ?? ''
  const vlan = nic.first('vlan', 'tag')?.attribute('id')
  switch (nic.attribute('type') ?? '') {
    case 'user':
      return { type: 'user' }
    case 'network':
      return { type: 'network', network: source?.attribute('network') ?? '' }
    case 'bridge':
      if (nic.first('virtualport')?.attribute('type') !== 'openvswitch') return { type: 'bridge', bridge }
      return { type: 'ovs', bridge, ...(vlan === undefined ? {} : { vlan: Number(vlan) }) }
    default:
      return undefined
  }
}

/** `<bandwidth>` with the same limit in both directions; undefined for none (0). */
export function bandwidthXml(megabits: number): XmlNode | undefined {
  if (megabits === 0) return undefined
  const average = megabits * KILOBYTES_PER_MEGABIT
  return el('bandwidth', {}, [el('inbound', { average }), el('outbound', { average })])
}
