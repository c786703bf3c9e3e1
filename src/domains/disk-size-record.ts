import { VIR_DOMAIN_AFFECT, VIR_DOMAIN_METADATA } from '../libvirt/constants.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { METADATA_NAMESPACE } from './metadata-xml.ts'

/** The new size of the disk at a target name of a VM. */
export interface DiskSize {
  readonly vmId: string
  readonly target: string
  readonly sizeBytes: number
  readonly running: boolean
}

const TIMEOUT_MS = 30_000
const PREFIX = 'lqx'

/** Writes the size of a disk into our metadata of its domain, from where VM listings take it; the same again changes nothing. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function recordDiskSize(libvirt: LibvirtCalls, size: DiskSize, signal: AbortSignal): Promise<void> {
  const { vmId, running } = size
  const call = { dom: domainRef(vmId), type: VIR_DOMAIN_METADATA.ELEMENT, uri: METADATA_NAMESPACE }
  const options = { timeoutMs: TIMEOUT_MS, signal }
  try {
    const { metadata } = await libvirt.call('remote:DOMAIN_GET_METADATA', { ...call, flags: 0 }, options)
    const changed = withDiskSize(metadata, size.target, size.sizeBytes)
    if (changed === metadata) return
    const flags = VIR_DOMAIN_AFFECT.CONFIG | (running ? VIR_DOMAIN_AFFECT.LIVE : 0)
    await libvirt.call('remote:DOMAIN_SET_METADATA', { ...call, metadata: changed, key: PREFIX, flags }, options)
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/** Our metadata, without its namespace as libvirt gives and takes it, with another size of the disk at `target`. Texts in it have no `<`, so tags are told from them. */
export function withDiskSize(metadata: string, target: string, sizeBytes: number): string {
  return metadata.replace(/<disk\s[^<>]*>/g, (tag) => {
    const isIt = tag.includes(`target="${target}"`) || tag.includes(`target='${target}'`)
    return isIt ? tag.replace(/(\ssize=["'])\d+/, `$1${sizeBytes}`) : tag
  })
}
