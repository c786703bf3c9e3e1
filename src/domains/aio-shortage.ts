import { VIR_DOMAIN_XML } from '../libvirt/constants.ts'
import { LibvirtError } from '../libvirt/errors.ts'
import type { XmlNode } from '../libvirt/xml-node.ts'
import { redefine } from './define-chains.ts'
import { domainRef, readDomainXml, type LibvirtCalls } from './libvirt-domain.ts'
import { vmNotFound } from './libvirt-errors.ts'
import { readXml, toNode, type XmlElement } from './read-xml.ts'

/**
 * True for a start that failed because the kernel has no contexts of native asynchronous I/O left. A QEMU takes 1,024 of `fs.aio-max-nr` (65,536 unless it is raised) for
 * itself and for every I/O thread; it goes on without them where a thread has none, but does not start without the first. QEMU has no code for it, only this text.
 */
export function isAioShortage(error: unknown): boolean {
  return error instanceof LibvirtError && error.message.includes('failed to create linux AIO context')
}

/** Lets the disks of a VM use QEMU's pool of threads from its next start on instead of native asynchronous I/O. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function useThreadsForIo(vmId: string, libvirt: LibvirtCalls, signal: AbortSignal): Promise<void> {
  const xml = await readDomainXml(
    libvirt,
    domainRef(vmId),
    vmId,
    signal,
    VIR_DOMAIN_XML.INACTIVE | VIR_DOMAIN_XML.SECURE,
  )
  if (xml === undefined) throw vmNotFound(vmId)
  await redefine(vmId, withThreadsForIo(readXml(xml)), libvirt)
}

/** A `<domain>` in which no disk uses native asynchronous I/O. The rest is as it was. Pure. */
export function withThreadsForIo(domain: XmlElement): XmlNode {
  const changed = (part: XmlElement): XmlNode => {
    if (part.name === 'devices' || part.name === 'disk') return toNode(part, changed)
    const node = toNode(part)
    const isNative = part.name === 'driver' && part.attribute('io') === 'native'
    return isNative ? { ...node, attributes: { ...node.attributes, io: 'threads' } } : node
  }
  return toNode(domain, changed)
}
