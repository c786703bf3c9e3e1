import { AgentError } from '../core/errors.ts'
import { VIR_DOMAIN_XML } from '../libvirt/constants.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import type { XmlNode } from '../libvirt/xml-node.ts'
import { uuidText } from '../libvirt/uuid.ts'
import { withChains, type DiskChain } from './chain-xml.ts'
import { domainRef, readDomainXml, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError, vmNotFound } from './libvirt-errors.ts'
import { readXml } from './read-xml.ts'

// libvirt may ask QEMU anew what it can do.
const DEFINE_TIMEOUT_MS = 120_000

/** Changes what the disks at some target names are made of at the next start of a VM; a guest that runs notices nothing. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function defineChains(
  vmId: string,
  chains: ReadonlyMap<string, DiskChain>,
  libvirt: LibvirtCalls,
  signal: AbortSignal,
): Promise<void> {
  const flags = VIR_DOMAIN_XML.INACTIVE | VIR_DOMAIN_XML.SECURE
  const xml = await readDomainXml(libvirt, domainRef(vmId), vmId, signal, flags)
  if (xml === undefined) throw vmNotFound(vmId)
  await redefine(vmId, withChains(readXml(xml), chains), libvirt)
}

/** Replaces the definition of a VM for its next start. Errors: LIBVIRT_*. */
export async function redefine(vmId: string, domain: XmlNode, libvirt: LibvirtCalls): Promise<void> {
  try {
    const args = { xml: writeXml(domain), flags: 0 }
    const { dom } = await libvirt.call('remote:DOMAIN_DEFINE_XML_FLAGS', args, { timeoutMs: DEFINE_TIMEOUT_MS })
    if (uuidText(dom.uuid) !== vmId) throw new AgentError('INTERNAL', 'libvirt defined another domain')
  } catch (error) {
    throw vmError(error, vmId)
  }
}
