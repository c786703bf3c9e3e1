import { writeXml } from '../libvirt/write-xml.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { readXml, toNode, type XmlElement } from './read-xml.ts'
import { undefineDomain } from './vm-remains.ts'

const DEFINE_TIMEOUT_MS = 30_000
const NVRAM = /^\/(?:var\/lib|run|var\/run)\/libvirt\/qemu\/nvram\/([^/]+)$/

/**
 * The definition of a domain that is nothing but the files that libvirt keeps of a VM by itself: its UEFI variables, when their file is named after it, and the state of its TPM. Undefined when there are none. It is
 * what such files can be removed by, once libvirt has forgotten the VM and left them. Pure.
 */
export function keptDefinition(xml: string): string | undefined {
  const root = readXml(xml)
  const variables = variablesOf(root)
  const tpm = root.first('devices', 'tpm')
  if (variables.length === 0 && tpm === undefined) return undefined
  const part = (name: string) => {
    const element = root.first(name)
    return element === undefined ? [] : [toNode(element)]
  }
  const type = root.first('os', 'type')
  return writeXml(
    el('domain', { type: root.attribute('type') }, [
      ...part('name'),
      ...part('uuid'),
      ...part('memory'),
      el('os', {}, [type && toNode(type), ...variables]),
      // UEFI is defined with ACPI alone.
      el('features', {}, [el('acpi')]),
      el('devices', {}, [tpm && toNode(tpm)]),
    ]),
  )
}

/** Removes the files of such a definition, when no domain of its id is there any more. The same again changes nothing. Errors: LIBVIRT_*. */
export async function removeKept(
  definition: string,
  vmId: string,
  libvirt: LibvirtCalls,
  signal: AbortSignal,
): Promise<void> {
  try {
    await libvirt.call(
      'remote:DOMAIN_DEFINE_XML_FLAGS',
      { xml: definition, flags: 0 },
      { timeoutMs: DEFINE_TIMEOUT_MS, signal },
    )
  } catch (error) {
    throw vmError(error, vmId)
  }
  await undefineDomain({ libvirt }, domainRef(vmId), vmId, signal, { saved: 'drop' })
}

// A file of another name may be that of another VM.
function variablesOf(root: XmlElement): XmlNode[] {
  const loader = root.first('os', 'loader')
  const nvram = root.first('os', 'nvram')
  const file = NVRAM.exec((nvram?.text ?? '').trim())?.[1]
  if (loader === undefined || nvram === undefined || file?.startsWith(`${root.first('name')?.text}_VARS.`) !== true)
    return []
  // Secure Boot would ask for more of a machine, and says nothing of files.
  const { secure: _, ...attributes } = loader.attributes
  return [{ ...toNode(loader), attributes }, toNode(nvram)]
}
