import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { abortable } from '../../core/keyed-lock.ts'
import { isFinal, type OperationHandler, type OperationRecord } from '../../operations/operation.ts'
import type { PoolUserSource } from '../../storage/pool-access.ts'
import { requireBackupName } from './backup-name.ts'
import { EXPORT_KIND, exportJournalOf, exportRequestOf, openExportOf, type ExportJournal } from './export-journal.ts'
import type { ExportParts } from './export-parts.ts'
import type { BackupExport, ExportOutcome, ExportRequest } from './export-record.ts'
import { scratchOwner } from './export-scratch.ts'
import { runExport, type LiveExport } from './run-export.ts'

/**
 * Exports of the disks of running VMs over NBD, as they are at one instant (libvirt's backups in pull mode): read by others, ended by their reader, by their deadline or with their VM. Each is an operation that lasts as long as it; an agent that was restarted adopts
 * what is open. Registers its kind when constructed.
 */
export class BackupExports {
  readonly #parts: ExportParts
  readonly #live = new Map<string, LiveExport>()

  constructor(parts: ExportParts) {
    this.#parts = parts
    parts.operations.register(this.#handler())
  }

  /** Opens one; the same name while it is open is that export. INVALID_NAME, CONFLICT while the VM has another one, errors of `planExport`, BACKUP_UNSUPPORTED, LIBVIRT_*. */
  async open(request: ExportRequest, signal: AbortSignal): Promise<BackupExport> {
    const { operations } = this.#parts
    const { vmId, name } = request
    requireBackupName(name)
    const [other] = this.#running(vmId)
    const otherName = other === undefined ? name : exportRequestOf(other).name
    if (otherName !== name)
      throw new AgentError('CONFLICT', `VM ${vmId} has the export ${quote(otherName)} open; end that first`)
    const { id } = await operations.start<ExportRequest>(EXPORT_KIND, request, {
      subject: `vm ${vmId}`,
      dedupeKey: `${EXPORT_KIND}:${vmId}:${name}`,
      locks: [`backup-export:${vmId}`],
    })
    const failed = operations.result<unknown>(id, signal).then(() => Promise.reject(gone(vmId, name)))
    return abortable(Promise.race([this.#liveOf(id).opened.promise, failed]), signal)
  }

  /** Those that are open, of one VM. */
  async list(vmId: string): Promise<BackupExport[]> {
    return this.#running(vmId).flatMap((record) => openExportOf(record) ?? [])
  }

  /**
   * Ends one; success when it had ended so. `complete`: all was read, so its checkpoint stays, and takes the place of those of earlier exports; otherwise it goes. BACKUP_EXPORT_NOT_FOUND, and BACKUP_EXPORT_ENDED when it
   * had ended before it was complete.
   */
  async end(vmId: string, name: string, complete: boolean, signal: AbortSignal): Promise<void> {
    const { operations } = this.#parts
    const isMeant = (record: OperationRecord) => {
      const request = exportRequestOf(record)
      return request.vmId === vmId && request.name === name
    }
    // What was refused was no export, and does not take the place of one of that name.
    const record = operations
      .list(EXPORT_KIND)
      .filter((each) => !isFinal(each.state) || each.journal !== undefined)
      .findLast(isMeant)
    if (record === undefined) throw gone(vmId, name)
    this.#liveOf(record.id).ended.resolve(complete ? 'complete' : 'given-up')
    const last = await operations.wait(record.id, signal)
    if (isFinal(record.state)) this.#live.delete(record.id)
    const outcome = last.result as ExportOutcome | undefined
    if (complete && outcome !== 'complete')
      throw new AgentError(
        'BACKUP_EXPORT_ENDED',
        `export ${quote(name)} of VM ${vmId} ended before it was complete (${outcome ?? last.error?.message ?? last.state}); what was read of it since is worth nothing`,
      )
  }

  /** Keeps what an open export needs in its pool. */
  readonly users: PoolUserSource = (pool) => {
    const records = this.#parts.operations.list(EXPORT_KIND).filter(({ state }) => !isFinal(state))
    const users = records.flatMap((record) => {
      const plan = exportJournalOf(record)?.plan
      if (plan?.poolId !== pool.config.poolId) return []
      const { vmId, name } = exportRequestOf(record)
      return plan.disks.map(({ scratch }) => ({
        name: `export ${quote(name)} of VM ${vmId}`,
        owner: scratchOwner(record),
        path: pool.backend.layers?.path(scratch) ?? '',
        access: 'writes' as const,
      }))
    })
    return Promise.resolve(users)
  }

  #handler(): OperationHandler<ExportRequest, ExportOutcome, ExportJournal> {
    return {
      kind: EXPORT_KIND,
      onRestart: 'resume',
      // QEMU goes on serving; the next agent adopts it.
      onShutdown: 'interrupt',
      run: async (request, ctx) => {
        try {
          return await runExport(request, this.#liveOf(ctx.id), this.#parts, ctx)
        } finally {
          this.#live.delete(ctx.id)
        }
      },
    }
  }

  #running(vmId: string): OperationRecord[] {
    return this.#parts.operations
      .list(EXPORT_KIND)
      .filter((record) => !isFinal(record.state) && exportRequestOf(record).vmId === vmId)
  }

  #liveOf(id: string): LiveExport {
    let live = this.#live.get(id)
    if (live === undefined) {
      live = { opened: Promise.withResolvers(), ended: Promise.withResolvers() }
      this.#live.set(id, live)
    }
    return live
  }
}

function gone(vmId: string, name: string): AgentError {
  return new AgentError('BACKUP_EXPORT_NOT_FOUND', `VM ${vmId} has no export ${quote(name)}`)
}
