import { AgentError } from '../core/errors.ts'
import { LibvirtError } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import type { XmlNode } from '../libvirt/xml-node.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

/** libvirt may have to open a disk on slow storage. */
const ATTACH_TIMEOUT_MS = 120_000

/** Adds a device to the halves of a domain that `flags` name. HOTPLUG_UNSUPPORTED when a running VM has no place for it; LIBVIRT_*. */
export async function attachDevice(
  vmId: string,
  xml: XmlNode,
  flags: number,
  what: string,
  libvirt: LibvirtCalls,
): Promise<void> {
  const args = { dom: domainRef(vmId), xml: writeXml(xml), flags }
  try {
    await libvirt.call('remote:DOMAIN_ATTACH_DEVICE_FLAGS', args, { timeoutMs: ATTACH_TIMEOUT_MS })
  } catch (error) {
    if (!(
      error instanceof LibvirtError &&
      /No more available PCI|cannot be hotplugged|hotplug.*not supported/i.test(error.message)
    ))
      throw vmError(error, vmId)
    throw new AgentError(
      'HOTPLUG_UNSUPPORTED',
      `VM ${vmId}: ${what} cannot be added while it runs (libvirt: ${error.message}); add it while the VM is off`,
      { cause: error },
    )
  }
}
