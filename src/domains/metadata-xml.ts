import type { DomainDefinition } from './definition.ts'
import { nameDevices } from './device-names.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'

/** XML namespace of everything the agent keeps in a domain. Never changes. */
export const METADATA_NAMESPACE = 'https://limiquantix.io/xmlns/node/vm/1.0'

/**
 * Our element of `<metadata>`: what the agent needs to know a VM again from libvirt alone. Ids stand in attributes; label texts, which may
 * hold anything printable, in elements, where XML keeps line breaks.
 */
export function metadataXml(definition: DomainDefinition): XmlNode {
  const { metadata } = definition
  const names = nameDevices(definition)
  return el('metadata', {}, [
    el('lqx:vm', { 'xmlns:lqx': METADATA_NAMESPACE, id: definition.vmId }, [
      el('lqx:created', { agent: metadata.agentVersion, at: metadata.createdAt }),
      el('lqx:spec', { digest: metadata.specDigest, 'guest-os': metadata.guestOs }),
      el(
        'lqx:labels',
        {},
        Object.entries(metadata.labels).map(([name, value]) => labelXml(name, value)),
      ),
      el(
        'lqx:disks',
        {},
        names.disks.map(({ device, target }) =>
          el('lqx:disk', {
            id: device.id,
            target,
            pool: device.poolId,
            volume: device.volume,
            owned: device.owned ? 'yes' : 'no',
            bootable: device.bootable ? 'yes' : 'no',
            size: device.sizeBytes,
          }),
        ),
      ),
      el(
        'lqx:cdroms',
        {},
        names.cdroms.map(({ device, target }) => el('lqx:cdrom', { id: device.id, target, role: device.role })),
      ),
      el(
        'lqx:nics',
        {},
        definition.nics.map((nic) => el('lqx:nic', { id: nic.id, mac: nic.macAddress })),
      ),
    ]),
  ])
}

function labelXml(name: string, value: string): XmlNode {
  return el('lqx:label', {}, [el('lqx:name', {}, name), el('lqx:value', {}, value)])
}
