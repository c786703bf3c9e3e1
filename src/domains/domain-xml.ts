import type { DomainDefinition } from './definition.ts'
import { devicesXml } from './device-xml.ts'
import { machineXml } from './machine-xml.ts'
import { metadataXml } from './metadata-xml.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el } from '../libvirt/xml-node.ts'

/** The libvirt domain XML (https://libvirt.org/formatdomain.html) of a definition. Pure: the same definition gives the same text. */
export function domainXml(definition: DomainDefinition): string {
  return writeXml(
    el('domain', { type: definition.type }, [
      el('name', {}, definition.name),
      el('uuid', {}, definition.vmId),
      metadataXml(definition),
      ...machineXml(definition),
      devicesXml(definition),
    ]),
  )
}
