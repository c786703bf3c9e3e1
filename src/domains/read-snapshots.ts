import type { Logger } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_SNAPSHOT_CREATE, VIR_DOMAIN_XML, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import type { XmlNode } from '../libvirt/xml-node.ts'
import type { DomainDeps } from './deps.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { readXml, type XmlElement } from './read-xml.ts'
import { parseSnapshot, type SnapshotFacts } from './snapshot-info.ts'
import { oldestFirst } from './snapshot-order.ts'

/** What snapshots need. */
export interface SnapshotParts {
  readonly deps: DomainDeps
  readonly client: Pick<LibvirtClient, 'call' | 'ready' | 'subscribe'>
  readonly log: Logger
}

const READ_TIMEOUT_MS = 30_000
const CHANGE_TIMEOUT_MS = 60_000

/** All snapshots of a VM, as `oldestFirst` orders them. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function readSnapshots(
  vmId: string,
  { client }: { readonly client: LibvirtCalls },
  signal: AbortSignal,
): Promise<SnapshotFacts[]> {
  const options = { timeoutMs: READ_TIMEOUT_MS, signal }
  try {
    const { snapshots } = await client.call(
      'remote:DOMAIN_LIST_ALL_SNAPSHOTS',
      { dom: domainRef(vmId), need_results: 1, flags: 0 },
      options,
    )
    const found: SnapshotFacts[] = []
    for (const snap of snapshots) {
      try {
        const { xml } = await client.call('remote:DOMAIN_SNAPSHOT_GET_XML_DESC', { snap, flags: 0 }, options)
        found.push(parseSnapshot(xml))
      } catch (error) {
        // Deleted meanwhile.
        if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN_SNAPSHOT)) throw error
      }
    }
    return oldestFirst(found)
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/** All that libvirt keeps of a snapshot, passwords of consoles included: for `redefineSnapshot`, not for logs. Errors: SNAPSHOT_NOT_FOUND, LIBVIRT_*. */
export async function readWholeSnapshot(
  vmId: string,
  name: string,
  { client }: { readonly client: LibvirtCalls },
  signal: AbortSignal,
): Promise<XmlElement> {
  try {
    const args = { snap: { name, dom: domainRef(vmId) }, flags: VIR_DOMAIN_XML.SECURE }
    const { xml } = await client.call('remote:DOMAIN_SNAPSHOT_GET_XML_DESC', args, {
      timeoutMs: READ_TIMEOUT_MS,
      signal,
    })
    return readXml(xml)
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN_SNAPSHOT)) {
      throw new AgentError('SNAPSHOT_NOT_FOUND', `VM ${vmId} has no snapshot ${quote(name)}`)
    }
    throw vmError(error, vmId)
  }
}

/** Changes what libvirt keeps of a snapshot, and nothing else; `current`: it is the one that the VM stands on now. The same again changes nothing. Errors: LIBVIRT_*. */
export async function redefineSnapshot(
  vmId: string,
  xml: XmlNode,
  current: boolean,
  { client }: { readonly client: LibvirtCalls },
): Promise<void> {
  const { REDEFINE, CURRENT } = VIR_DOMAIN_SNAPSHOT_CREATE
  const args = { dom: domainRef(vmId), xml_desc: writeXml(xml), flags: REDEFINE | (current ? CURRENT : 0) }
  await client
    .call('remote:DOMAIN_SNAPSHOT_CREATE_XML', args, { timeoutMs: CHANGE_TIMEOUT_MS })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
}
