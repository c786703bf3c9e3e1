import { randomUUID } from 'node:crypto'
import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { DiskSource } from '../../core/model.ts'
import { mediaXml, readHalves, type DomainHalves } from '../domain-halves.ts'
import { findDiskFile } from '../disk-chain.ts'
import type { DomainDeps } from '../deps.ts'
import { domainRef } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { hasCheckpoint, refuseRunning, type BackupCalls } from './backup-job.ts'
import type { BackupCatalog } from './backup-catalog.ts'
import { BACKUP_CHECKPOINT, backupOwner, backupVolume, type VmBackup } from './backup-record.ts'

/** What a caller wants: `full` stands alone and leaves no trace in the VM; `incremental` holds the changes since the last such one, or begins a new chain. */
export type BackupMode = 'full' | 'incremental'

/** A disk on its way into a backup. */
export interface PlannedDisk {
  readonly diskId: string
  readonly targetDev: string
  readonly volume: string
  readonly sizeBytes: number
  readonly allocatedBytes: number
  /** Volume of the parent. */
  readonly below: string
  /** What a VM that is off is copied from. */
  readonly source: DiskSource
}

/** A backup as it will be made. Kept in the journal. */
export interface PlannedBackup {
  /** Of its volumes, and of those of no other attempt, whichever host makes it. Plans of earlier agents have none: `backupOwner`. */
  readonly owner?: string
  readonly vmName: string
  readonly running: boolean
  readonly createdAt: number
  readonly parent: string
  /** The parent's. */
  readonly since: string
  readonly checkpoint: string
  readonly allDisks: readonly string[]
  readonly disks: readonly PlannedDisk[]
  readonly definition: string
}

export interface BackupRequest {
  readonly vmId: string
  readonly name: string
  readonly poolId: string
  readonly mode: BackupMode
}

const TIMEOUT_MS = 30_000

/** Decides what a backup holds. VM_NOT_FOUND, BACKUP_UNSUPPORTED, POOL_NOT_FOUND, POOL_UNAVAILABLE, those of `findDiskFile`, LIBVIRT_*. */
export async function planBackup(
  { vmId, name, poolId, mode }: BackupRequest,
  { deps, client, catalog }: { deps: DomainDeps; client: BackupCalls; catalog: BackupCatalog },
  ctx: OpContext,
): Promise<PlannedBackup> {
  await deps.splits?.refuse(vmId, ctx.signal)
  const { backend } = await deps.pools.require(poolId, ctx)
  if (backend.traits.access !== 'file' || !backend.traits.formats.includes('qcow2'))
    throw unsupported(
      `pool ${quote(poolId)} keeps no qcow2 files, which backups are; use a pool of files (a local directory, NFS, CephFS), or take a snapshot of the volumes`,
    )
  const halves = await readHalves(client, vmId, ctx.signal)
  if (halves.live !== undefined) await refuseRunning(vmId, client, ctx)
  const half = halves.live ?? halves.config
  const running = halves.live !== undefined
  const disks = await Promise.all(
    writableDisks(halves).map(async ({ id, targetDev, path }): Promise<Omit<PlannedDisk, 'below'>> => {
      const { capacity, allocation } = await client
        .call(
          'remote:DOMAIN_GET_BLOCK_INFO',
          { dom: domainRef(vmId), path: targetDev, flags: 0 },
          { timeoutMs: TIMEOUT_MS, signal: ctx.signal },
        )
        .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
      if (!running) await findDiskFile(path, 'qcow2', deps, ctx)
      return {
        diskId: id,
        targetDev,
        volume: backupVolume(vmId, name, targetDev),
        sizeBytes: Number(capacity),
        allocatedBytes: Number(allocation),
        source: { type: 'file', path, format: 'qcow2' },
      }
    }),
  )
  const chained = mode === 'incremental' && running
  if (chained) await refuseSnapshots(vmId, client, ctx)
  const parent = chained ? await findParent(vmId, poolId, disks, { client, catalog }, ctx) : undefined
  return {
    owner: `${backupOwner(vmId, name)}:${randomUUID()}`,
    vmName: half.facts.name,
    running,
    createdAt: Date.now(),
    parent: parent?.name ?? '',
    since: parent?.checkpoint ?? '',
    checkpoint: chained ? `${BACKUP_CHECKPOINT}${name}` : '',
    allDisks: mediaXml(half).flatMap((disk) => disk.first('target')?.attribute('dev') ?? []),
    disks: disks.map((disk) => ({ ...disk, below: belowOf(disk, parent) })),
    definition: await readDefinition(vmId, client, ctx),
  }
}

/** The disks that a backup holds. BACKUP_UNSUPPORTED for such as it cannot. */
export function writableDisks({ live, config }: DomainHalves) {
  const { facts } = live ?? config
  const disks = facts.disks.filter(({ readonly }) => !readonly)
  const other = disks.find(({ format, path }) => format !== 'qcow2' || !path.startsWith('/'))
  if (other !== undefined)
    throw unsupported(
      `VM ${facts.vmId} has disk ${other.id} (${other.path || 'no file'}) in ${other.format || 'unknown'} form; backups are of qcow2 files, take a snapshot of its volume in the pool instead`,
    )
  if (disks.length === 0) throw unsupported(`VM ${facts.vmId} has no disk that could be backed up`)
  return disks
}

/** BACKUP_UNSUPPORTED while the VM has snapshots: libvirt 9 has either those or checkpoints. */
export async function refuseSnapshots(vmId: string, client: BackupCalls, { signal }: OpContext): Promise<void> {
  const args = { dom: domainRef(vmId), need_results: 0, flags: 0 }
  const { ret } = await client
    .call('remote:DOMAIN_LIST_ALL_SNAPSHOTS', args, { timeoutMs: TIMEOUT_MS, signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  if (ret === 0) return
  throw unsupported(
    `VM ${vmId} has ${ret} snapshot${ret === 1 ? '' : 's'}, beside which libvirt keeps no record of changes; delete them, or make a full backup`,
  )
}

async function findParent(
  vmId: string,
  poolId: string,
  disks: readonly Omit<PlannedDisk, 'below'>[],
  { client, catalog }: { client: BackupCalls; catalog: BackupCatalog },
  ctx: OpContext,
): Promise<VmBackup | undefined> {
  const { signal, log } = ctx
  const last = (await catalog.list(ctx, vmId)).backups.findLast(({ checkpoint }) => checkpoint !== '')
  if (last === undefined) return undefined
  const shape = (all: readonly { targetDev: string; sizeBytes: number; diskId: string }[]) =>
    all
      .map(({ diskId, targetDev, sizeBytes }) => `${diskId} ${targetDev} ${sizeBytes}`)
      .sort()
      .join()
  const why =
    last.poolId !== poolId
      ? 'the last one is in another pool'
      : shape(last.disks) !== shape(disks)
        ? 'the VM has other disks now'
        : (await hasCheckpoint(vmId, last.checkpoint, client, signal))
          ? undefined
          : 'libvirt does not know what changed since the last one'
  if (why === undefined) return last
  log.info({ vm: vmId, why }, 'a new chain of backups begins')
  return undefined
}

function belowOf(disk: { readonly diskId: string }, parent: VmBackup | undefined): string {
  return parent?.disks.find(({ diskId }) => diskId === disk.diskId)?.volume ?? ''
}

async function readDefinition(vmId: string, client: BackupCalls, { signal }: OpContext): Promise<string> {
  // Without VIR_DOMAIN_XML_SECURE there are no secrets in it.
  const { xml } = await client
    .call('remote:DOMAIN_GET_XML_DESC', { dom: domainRef(vmId), flags: 2 }, { timeoutMs: TIMEOUT_MS, signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  return xml
}

function unsupported(text: string): AgentError {
  return new AgentError('BACKUP_UNSUPPORTED', text)
}
