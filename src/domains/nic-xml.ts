import type { NicDefinition } from './definition.ts'
import { el, type XmlNode } from './xml-node.ts'

/** `<interface>` of a libvirt network, a bridge, or QEMU's user-mode network. */
export function nicXml(nic: NicDefinition, bootOrder: number | undefined): XmlNode {
  return el('interface', { type: nic.target.type }, [
    el('mac', { address: nic.macAddress }),
    nic.target.type === 'network' && el('source', { network: nic.target.network }),
    nic.target.type === 'bridge' && el('source', { bridge: nic.target.bridge }),
    el('model', { type: nic.model }),
    bootOrder !== undefined && el('boot', { order: bootOrder }),
  ])
}
