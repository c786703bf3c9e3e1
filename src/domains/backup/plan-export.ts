import path from 'node:path'
import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { DomainDeps } from '../deps.ts'
import { mediaXml, readHalves, type DomainHalf } from '../domain-halves.ts'
import type { XmlElement } from '../read-xml.ts'
import { domainRef } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { hasCheckpoint, refuseRunning, type BackupCalls } from './backup-job.ts'
import { BITMAP_CONTEXT } from './backup-xml.ts'
import type { SocketOwner } from './export-directory.ts'
import type { ExportedDisk, ExportRequest } from './export-record.ts'
import { isPausedByIoError } from './io-error-pause.ts'
import { refuseSnapshots, writableDisks } from './plan-backup.ts'

/** An export as it will be opened. Kept in the journal. */
export interface PlannedExport {
  readonly poolId: string
  /** `scratch`: a volume that no other export has, of this host or another one: what it holds is part of what is read. */
  readonly disks: readonly (ExportedDisk & { readonly scratch: string })[]
  readonly allDisks: readonly string[]
  readonly checkpoint: string
  readonly since: string
  /** In a directory that no other export has. */
  readonly socket: string
  /** What QEMU runs as. */
  readonly owner: SocketOwner
  readonly expiresAt: number
}

const TIMEOUT_MS = 30_000
/** As libvirt counts: 9.0.0. */
const SAFE_WITH_THREADS = 9_000_000

/** Checkpoints of exports begin with this. */
export const EXPORT_CHECKPOINT = 'export-'

/** Decides what an export offers. VM_STATE_CONFLICT while the VM is off or stopped by an I/O error, CONFLICT while another backup of it runs and for the name of one whose checkpoint is kept, BACKUP_UNSUPPORTED, POOL_*, VM_NOT_FOUND, LIBVIRT_*. */
export async function planExport(
  { vmId, name, poolId, mode, since, lifetimeMs }: ExportRequest,
  { deps, client }: { deps: DomainDeps; client: BackupCalls },
  ctx: OpContext & { readonly id: string },
): Promise<PlannedExport> {
  const halves = await readHalves(client, vmId, ctx.signal)
  const { live } = halves
  if (live === undefined)
    throw new AgentError(
      'VM_STATE_CONFLICT',
      `VM ${vmId} is off, and QEMU alone can export its disks; start it, or make a backup into a pool`,
    )
  // An export that ends lets go on whom it stopped, and must know that it was the one.
  if (await isPausedByIoError(vmId, client, ctx.signal))
    throw new AgentError(
      'VM_STATE_CONFLICT',
      `VM ${vmId} was stopped by an I/O error; see to its storage and resume it, then export it`,
    )
  await refuseRunning(vmId, client, ctx)
  const disks = writableDisks(halves)
  await refuseThreads(vmId, live, client, ctx)
  if (mode === 'incremental') await refuseSnapshots(vmId, client, ctx)
  const checkpoint = mode === 'incremental' ? `${EXPORT_CHECKPOINT}${name}` : ''
  // A failed export takes its checkpoint with it, which must not be that of a complete one.
  if (checkpoint !== '' && (await hasCheckpoint(vmId, checkpoint, client, ctx.signal)))
    throw new AgentError(
      'CONFLICT',
      `VM ${vmId} keeps checkpoint ${quote(checkpoint)} of an earlier export ${quote(name)}; use another name`,
    )
  if (since !== '' && !(await hasCheckpoint(vmId, since, client, ctx.signal)))
    throw new AgentError(
      'BACKUP_UNSUPPORTED',
      `VM ${vmId} has no checkpoint ${quote(since)}: what changed since is not known; export all of it`,
    )
  const ownName = `${vmId}-${ctx.id.slice(0, 8)}`
  const pool = poolId === '' ? deps.pools.findByPlace(disks[0]?.path ?? '') : await deps.pools.require(poolId, ctx)
  if (pool === undefined)
    throw new AgentError(
      'BACKUP_UNSUPPORTED',
      `the first disk of VM ${vmId} is in no pool; name one of files for what the guest overwrites meanwhile`,
    )
  const { traits } = pool.backend
  if (traits.access !== 'file' || !traits.formats.includes('qcow2'))
    throw new AgentError(
      'BACKUP_UNSUPPORTED',
      `pool ${quote(pool.config.poolId)} keeps no qcow2 files; name a pool of files (a local directory, NFS, CephFS)`,
    )
  const planned = disks.map(async ({ id, targetDev }) => {
    const { capacity } = await client
      .call(
        'remote:DOMAIN_GET_BLOCK_INFO',
        { dom: domainRef(vmId), path: targetDev, flags: 0 },
        { timeoutMs: TIMEOUT_MS, signal: ctx.signal },
      )
      .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
    return {
      diskId: id,
      targetDev,
      exportName: targetDev,
      bitmap: since === '' ? '' : `${BITMAP_CONTEXT}changes-${targetDev}`,
      sizeBytes: Number(capacity),
      scratch: `export-${ownName}-${targetDev}`,
    }
  })
  return {
    poolId: pool.config.poolId,
    disks: await Promise.all(planned),
    allDisks: mediaXml(live).flatMap((disk) => disk.first('target')?.attribute('dev') ?? []),
    checkpoint,
    since,
    socket: path.join(deps.config.stateDir, 'exports', ownName, 'nbd.sock'),
    owner: ownerOf(live),
    expiresAt: Date.now() + lifetimeMs,
  }
}

// QEMU before 9.0 serves an export in the thread of its disk, and ends with an assertion (nbd_blockdev_client_closed) when a client leaves it there: with it the guest.
async function refuseThreads(
  vmId: string,
  live: DomainHalf,
  client: BackupCalls,
  { signal }: OpContext,
): Promise<void> {
  const hasThread = (disk: XmlElement) => disk.first('driver')?.attribute('iothread') !== undefined
  if (!mediaXml(live).some(hasThread)) return
  const { hv_ver } = await client
    .call('remote:CONNECT_GET_VERSION', {}, { timeoutMs: TIMEOUT_MS, signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  if (Number(hv_ver) >= SAFE_WITH_THREADS) return
  throw new AgentError(
    'BACKUP_UNSUPPORTED',
    `VM ${vmId} has disks with a thread of their own (iothread), which QEMU before 9.0 does not survive to export; use SATA or SCSI disks, or make a backup into a pool`,
  )
}

// What libvirt runs this QEMU as; without the label it is root.
function ownerOf({ xml }: DomainHalf): SocketOwner {
  const label =
    xml
      .all('seclabel')
      .find((each) => each.attribute('model') === 'dac')
      ?.first('label')?.text ?? '+0:+0'
  const { uid, gid } = /^\+?(?<uid>\d+):\+?(?<gid>\d+)$/.exec(label)?.groups ?? {}
  if (uid === undefined || gid === undefined)
    throw new AgentError('BACKUP_UNSUPPORTED', `libvirt does not tell the user of QEMU by number (${quote(label)})`)
  return { uid: Number(uid), gid: Number(gid) }
}
