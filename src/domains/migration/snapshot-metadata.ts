import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import { VIR_DOMAIN_SNAPSHOT_DELETE, VIR_ERR } from '../../libvirt/constants.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import { writeXml } from '../../libvirt/write-xml.ts'
import { domainRef, type LibvirtCalls } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { readSnapshots, readWholeSnapshot, redefineSnapshot } from '../read-snapshots.ts'
import { readXml, toNode } from '../read-xml.ts'

/** What libvirt keeps of a snapshot, which it does not take along when the VM moves; its data are in the VM's disks. */
export interface SnapshotRecord {
  readonly name: string
  /** `<domainsnapshot>` with all that libvirt knows, the definition of then with its passwords included. */
  readonly xml: string
  /** It is the one that the VM stands on. */
  readonly current: boolean
}

const TIMEOUT_MS = 60_000

/** The snapshots of a VM, parents first. Errors: VM_NOT_FOUND, SNAPSHOT_NOT_FOUND for one that goes meanwhile, LIBVIRT_*. */
export async function readSnapshotRecords(
  vmId: string,
  client: LibvirtCalls,
  signal: AbortSignal,
): Promise<SnapshotRecord[]> {
  const parts = { client }
  const left = new Map((await readSnapshots(vmId, parts, signal)).map((snapshot) => [snapshot.id, snapshot]))
  const records: SnapshotRecord[] = []
  while (left.size > 0) {
    // Clocks of hosts go wrong, so that a parent may be the younger one.
    const next = [...left.values()].find(({ parentId }) => !left.has(parentId)) ?? [...left.values()][0]
    if (next === undefined) break
    left.delete(next.id)
    const xml = writeXml(toNode(await readWholeSnapshot(vmId, next.id, parts, signal)))
    records.push({ name: next.id, xml, current: await isCurrent(vmId, next.id, client, signal) })
  }
  return records
}

async function isCurrent(vmId: string, name: string, client: LibvirtCalls, signal: AbortSignal): Promise<boolean> {
  const args = { snap: { name, dom: domainRef(vmId) }, flags: 0 }
  try {
    return (
      (await client.call('remote:DOMAIN_SNAPSHOT_IS_CURRENT', args, { timeoutMs: TIMEOUT_MS, signal })).current !== 0
    )
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/** Makes libvirt forget snapshots, whose data stay: it moves no VM that has some. The same again changes nothing. Errors: LIBVIRT_*. */
export async function forgetSnapshots(
  vmId: string,
  records: readonly SnapshotRecord[],
  client: LibvirtCalls,
  ctx: OpContext,
): Promise<void> {
  for (const { name } of records.toReversed()) {
    const args = { snap: { name, dom: domainRef(vmId) }, flags: VIR_DOMAIN_SNAPSHOT_DELETE.METADATA_ONLY }
    try {
      await client.call('remote:DOMAIN_SNAPSHOT_DELETE', args, { timeoutMs: TIMEOUT_MS, signal: ctx.signal })
    } catch (error) {
      if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN_SNAPSHOT)) throw vmError(error, vmId)
    }
  }
}

/** Makes libvirt know snapshots again. Those that it has stay as they are, so that the same again changes nothing. All are tried; the first failure is thrown at the end. Errors: LIBVIRT_*. */
export async function defineSnapshots(
  vmId: string,
  records: readonly SnapshotRecord[],
  client: LibvirtCalls,
  ctx: OpContext,
): Promise<void> {
  const parts = { client }
  const known = new Set((await readSnapshots(vmId, parts, ctx.signal)).map(({ id }) => id))
  const failures: unknown[] = []
  for (const { name, xml, current } of records) {
    if (known.has(name) && !current) continue
    await redefineSnapshot(vmId, toNode(readXml(xml)), current, parts).catch((error: unknown) => {
      ctx.log.error({ vm: vmId, snapshot: name, err: errorText(error) }, 'libvirt does not take a snapshot')
      failures.push(error)
    })
  }
  if (failures.length > 0) throw failures[0]
}
