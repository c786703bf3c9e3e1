import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import type { LibvirtClient } from '../../libvirt/client.ts'
import {
  VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL,
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_JOB_OPERATION,
  VIR_DOMAIN_JOB_STATS,
  VIR_ERR,
} from '../../libvirt/constants.ts'
import { isLibvirtError, LibvirtGone, LibvirtTimeout } from '../../libvirt/errors.ts'
import { numberParam, readTypedParams } from '../../libvirt/typed-params.ts'
import { delay } from '../../platform/clock.ts'
import { removeBitmap } from '../../storage/qemu-img.ts'
import { readHalves } from '../domain-halves.ts'
import type { DomainDisk } from '../domain-info.ts'
import { domainRef } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { readXml, type XmlElement } from '../read-xml.ts'
import { backupXml, checkpointXml, targetsOf, type BackupTarget } from './backup-xml.ts'

/** What is to be pushed where. */
export interface BackupPlan {
  readonly targets: readonly BackupTarget[]
  /** All disks of the VM, by libvirt's name. */
  readonly allDisks: readonly string[]
  /** Only what changed since this checkpoint; empty = all. */
  readonly since: string
  /** A checkpoint to make at the same instant; empty = none. */
  readonly checkpoint: string
}

export type BackupCalls = Pick<LibvirtClient, 'call' | 'ready'>

const TIMEOUT_MS = 60_000
const POLL_MS = 500
/** So often in a row libvirt may refuse to tell how a backup goes on. */
const MAX_REFUSALS = 50
const RECONNECT_WAIT_MS = 120_000
// Of the last job that ended, and forgotten with that.
const COMPLETED_STATS = VIR_DOMAIN_JOB_STATS.COMPLETED
// virDomainCheckpointDeleteFlags.
const CHECKPOINT_METADATA_ONLY = 2

/** Begins to push; QEMU goes on by itself. BACKUP_UNSUPPORTED, VM_NOT_FOUND, LIBVIRT_*; LibvirtGone and LibvirtTimeout as they are when nobody knows whether it began. */
export async function beginBackup(vmId: string, plan: BackupPlan, client: BackupCalls): Promise<void> {
  const { targets, allDisks, since, checkpoint } = plan
  const xml = {
    backup: backupXml(targets, allDisks, since),
    checkpoint: checkpoint === '' ? null : checkpointXml(checkpoint, targets, allDisks),
  }
  await beginJob(vmId, xml, client)
}

/** Begins a backup by its XML, into or by way of files that are there; errors like `beginBackup`. */
export async function beginJob(
  vmId: string,
  { backup, checkpoint }: { readonly backup: string; readonly checkpoint: string | null },
  client: BackupCalls,
): Promise<void> {
  const flags = VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL
  const args = { dom: domainRef(vmId), backup_xml: backup, checkpoint_xml: checkpoint, flags }
  // How an earlier job ended must not be taken for the end of this one.
  await client
    .call('remote:DOMAIN_GET_JOB_STATS', { dom: args.dom, flags: COMPLETED_STATS }, { timeoutMs: TIMEOUT_MS })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  try {
    await client.call('remote:DOMAIN_BACKUP_BEGIN', args, { timeoutMs: TIMEOUT_MS })
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.CHECKPOINT_INCONSISTENT))
      throw new AgentError(
        'BACKUP_UNSUPPORTED',
        `VM ${vmId}: what changed since the last backup is not known for sure, as after a crash of QEMU; begin anew: delete that backup, so that the next one holds everything, or export everything`,
        { cause: error },
      )
    if (isLibvirtError(error, VIR_ERR.OPERATION_UNSUPPORTED, VIR_ERR.CONFIG_UNSUPPORTED))
      throw new AgentError('BACKUP_UNSUPPORTED', `VM ${vmId}: ${error.message}`, { cause: error })
    if (error instanceof LibvirtGone || error instanceof LibvirtTimeout) throw error
    throw vmError(error, vmId)
  }
}

/** Whether a backup into these targets runs. Errors: LIBVIRT_*. */
export async function isBackingUp(
  vmId: string,
  targets: readonly BackupTarget[],
  client: BackupCalls,
  signal: AbortSignal,
): Promise<boolean> {
  const job = await readBackupJob(vmId, client, signal)
  return job !== undefined && isInto(job, targets)
}

/** The backup of a VM that runs now, as libvirt describes it; undefined when none does. Errors: those of the call, as they are. */
export async function readBackupJob(
  vmId: string,
  client: BackupCalls,
  signal: AbortSignal,
): Promise<XmlElement | undefined> {
  try {
    const args = { dom: domainRef(vmId), flags: 0 }
    const { xml } = await client.call('remote:DOMAIN_BACKUP_GET_XML_DESC', args, { timeoutMs: TIMEOUT_MS, signal })
    return readXml(xml)
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN_BACKUP, VIR_ERR.NO_DOMAIN, VIR_ERR.OPERATION_INVALID)) return undefined
    throw error
  }
}

/** CONFLICT while libvirt runs a backup of the VM, whoever began it. Errors: LIBVIRT_*. */
export async function refuseRunning(vmId: string, client: BackupCalls, { signal }: OpContext): Promise<void> {
  const job = await readBackupJob(vmId, client, signal).catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  if (job === undefined) return
  const what = job.attribute('mode') === 'pull' ? 'is being exported' : 'is being backed up'
  throw new AgentError('CONFLICT', `VM ${vmId} ${what}; wait for the end of that, or end it`)
}

function isInto(job: XmlElement, targets: readonly BackupTarget[]): boolean {
  const now = targetsOf(job)
  return targets.some(({ path }) => now.includes(path))
}

/** Waits until the backup has ended, over restarts of libvirtd too. BACKUP_FAILED unless it is whole. */
export async function waitForBackup(
  vmId: string,
  targets: readonly BackupTarget[],
  client: BackupCalls,
  ctx: OpContext,
): Promise<void> {
  const dom = domainRef(vmId)
  const stats = async (flags: number) => {
    const { type, params } = await client.call(
      'remote:DOMAIN_GET_JOB_STATS',
      { dom, flags },
      { timeoutMs: TIMEOUT_MS, signal: ctx.signal },
    )
    return { type, params: readTypedParams(params) }
  }
  let refusals = 0
  for (;;) {
    try {
      if (!(await isBackingUp(vmId, targets, client, ctx.signal))) break
      const { params } = await stats(0)
      refusals = 0
      const [done, total] = [numberParam(params, 'disk_processed'), numberParam(params, 'disk_total')]
      if (done !== undefined && total !== undefined)
        ctx.progress?.({ phase: 'copying', bytesDone: done, bytesTotal: total })
    } catch (error) {
      if (error instanceof LibvirtGone || error instanceof LibvirtTimeout) {
        await client.ready(AbortSignal.any([ctx.signal, AbortSignal.timeout(RECONNECT_WAIT_MS)]))
      } else if (!isLibvirtError(error) || ++refusals > MAX_REFUSALS) {
        throw vmError(error, vmId)
      }
      // Of a VM that is being stopped libvirt says many things, until it says that it is off.
    }
    await delay(POLL_MS, ctx.signal)
  }
  const { type, params } = await stats(COMPLETED_STATS).catch((error: unknown) => {
    // A VM that ended has no statistics.
    ctx.signal.throwIfAborted()
    ctx.log.warn({ vm: vmId, err: String(error) }, 'nobody knows how the backup ended')
    return { type: VIR_DOMAIN_JOB.NONE, params: new Map<string, never>() }
  })
  // libvirt keeps those of the last job of any kind.
  const operation = numberParam(params, 'operation')
  if (operation !== undefined && operation !== VIR_DOMAIN_JOB_OPERATION.BACKUP)
    throw new AgentError(
      'BACKUP_FAILED',
      `nobody knows whether the backup of VM ${vmId} is whole, because another job of the VM ended since; repeat the backup`,
    )
  const isWhole = operation !== undefined && type === VIR_DOMAIN_JOB.COMPLETED && params.get('success') !== false
  if (isWhole) return
  const why = params.get('errmsg')
  throw new AgentError(
    'BACKUP_FAILED',
    `the backup of VM ${vmId} ended before it was whole: ${typeof why === 'string' && why !== '' ? why : 'the VM was stopped, or it was cancelled'}`,
  )
}

/** Ends the backup into these targets if it runs, and forgets the checkpoint; success when there is neither. Errors: LIBVIRT_*. */
export async function abandonBackup(
  vmId: string,
  { targets, checkpoint }: Pick<BackupPlan, 'targets' | 'checkpoint'>,
  client: BackupCalls,
  signal: AbortSignal,
): Promise<void> {
  await client.ready(signal)
  await endJob(vmId, (job) => isInto(job, targets), client, signal)
  await deleteCheckpoint(vmId, checkpoint, client, signal)
}

/** Ends the backup of a VM that runs if it is the one meant, and waits until it has ended. Errors: LIBVIRT_*. */
export async function endJob(
  vmId: string,
  isMeant: (job: XmlElement) => boolean,
  client: BackupCalls,
  signal: AbortSignal,
): Promise<void> {
  const dom = domainRef(vmId)
  for (;;) {
    const job = await readBackupJob(vmId, client, signal)
    if (job === undefined || !isMeant(job)) return
    await client.call('remote:DOMAIN_ABORT_JOB', { dom }, { timeoutMs: TIMEOUT_MS, signal }).catch((error: unknown) => {
      // It ended by itself.
      if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) throw vmError(error, vmId)
    })
    await delay(POLL_MS, signal)
  }
}

/** Names of the checkpoints that libvirt has of a VM; none when there is no VM. Errors: LIBVIRT_*. */
export async function listCheckpoints(vmId: string, client: BackupCalls, signal: AbortSignal): Promise<string[]> {
  try {
    const args = { dom: domainRef(vmId), need_results: 1, flags: 0 }
    const { checkpoints } = await client.call('remote:DOMAIN_LIST_ALL_CHECKPOINTS', args, {
      timeoutMs: TIMEOUT_MS,
      signal,
    })
    return checkpoints.map(({ name }) => name)
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return []
    throw vmError(error, vmId)
  }
}

/** Forgets a checkpoint; what changed since counts for the one before it, if there is one. Success when it is gone, with its VM too. Errors: LIBVIRT_*. */
export async function deleteCheckpoint(
  vmId: string,
  name: string,
  client: BackupCalls,
  signal: AbortSignal,
): Promise<void> {
  if (name === '' || !(await hasCheckpoint(vmId, name, client, signal))) return
  const checkpoint = { name, dom: domainRef(vmId) }
  try {
    await client.call('remote:DOMAIN_CHECKPOINT_DELETE', { checkpoint, flags: 0 }, { timeoutMs: TIMEOUT_MS, signal })
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN_CHECKPOINT, VIR_ERR.NO_DOMAIN)) return
    if (!isLibvirtError(error, VIR_ERR.OPERATION_UNSUPPORTED, VIR_ERR.OPERATION_INVALID)) throw vmError(error, vmId)
    const { live, config } = await readHalves(client, vmId, signal)
    if (live !== undefined) throw vmError(error, vmId)
    await forgetOffline(vmId, name, config.facts.disks, client, signal)
  }
}

// libvirt 9 takes bitmaps out of running VMs only. Its own record goes last: who dies before that, or cannot remove a bitmap, comes back.
async function forgetOffline(
  vmId: string,
  name: string,
  disks: readonly DomainDisk[],
  client: BackupCalls,
  signal: AbortSignal,
): Promise<void> {
  for (const { path, format, readonly } of disks) {
    if (format !== 'qcow2' || readonly || !path.startsWith('/')) continue
    await removeBitmap(path, name, { signal })
  }
  const args = { checkpoint: { name, dom: domainRef(vmId) }, flags: CHECKPOINT_METADATA_ONLY }
  await client
    .call('remote:DOMAIN_CHECKPOINT_DELETE', args, { timeoutMs: TIMEOUT_MS, signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
}

/** Whether libvirt has the checkpoint. Errors: LIBVIRT_*. */
export async function hasCheckpoint(
  vmId: string,
  name: string,
  client: BackupCalls,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const args = { dom: domainRef(vmId), name, flags: 0 }
    await client.call('remote:DOMAIN_CHECKPOINT_LOOKUP_BY_NAME', args, { timeoutMs: TIMEOUT_MS, signal })
    return true
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN_CHECKPOINT, VIR_ERR.NO_DOMAIN)) return false
    throw vmError(error, vmId)
  }
}
