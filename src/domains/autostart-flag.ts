import { writeXml } from '../libvirt/write-xml.ts'
import { AgentError } from '../core/errors.ts'
import { bothHalves, readHalves } from './domain-halves.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'
import { editMetadata } from './metadata-edit.ts'
import { readXml, toNode } from './read-xml.ts'

/**
 * Says whether a VM is started when the host has booted. It is kept in our metadata and not as libvirt's own mark, because libvirt starts such VMs before any pool is mounted, and without asking who else runs them.
 * Errors: VM_NOT_FOUND, VM_NOT_MANAGED, LIBVIRT_*.
 */
export async function setAutostart(
  libvirt: LibvirtCalls,
  vmId: string,
  enabled: boolean,
  signal: AbortSignal,
): Promise<void> {
  const halves = await readHalves(libvirt, vmId, signal)
  if (!halves.config.facts.managed)
    throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent; use virsh autostart for it`)
  await editMetadata(libvirt, vmId, bothHalves(halves), (text) => withAutostart(text, enabled), signal)
}

/** Our metadata with the mark set or taken off. Pure. */
export function withAutostart(metadata: string, enabled: boolean): string {
  const root = readXml(metadata)
  if ((root.attribute('autostart') === 'yes') === enabled) return metadata
  const { attributes, ...rest } = toNode(root)
  return writeXml({ ...rest, attributes: { ...attributes, autostart: enabled ? 'yes' : undefined } })
}
