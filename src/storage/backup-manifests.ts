import type { OpContext } from '../core/context.ts'
import type { ActivePool } from './pool-access.ts'
import { callPoolFiles } from './pool-file-calls.ts'
import type { StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'
import type { BackupNames, ManifestFile } from './worker/backup-manifests.ts'

/** What the backups in file pools are, as small files beside their volumes. Errors: POOL_*, DEADLINE_EXCEEDED, WORKER_*. */
export class BackupManifests {
  readonly #io: Pick<StorageIo, 'call'>

  constructor(io: Pick<StorageIo, 'call'>) {
    this.#io = io
  }

  /** Those whose names begin with `prefix`, in as many calls as it takes. */
  async read(pool: ActivePool, prefix: string, ctx: OpContext): Promise<ManifestFile[]> {
    const found: ManifestFile[] = []
    for (let after: string | undefined; ;) {
      const from = after === undefined ? {} : { after }
      const { files, next } = await this.#call(pool, 'readBackupManifests', { prefix, ...from }, ctx)
      found.push(...files)
      if (next === undefined) return found
      after = next
    }
  }

  /** Nothing is read for it. */
  names(pool: ActivePool, ctx: OpContext): Promise<BackupNames> {
    return this.#call(pool, 'listBackupNames', {}, ctx)
  }

  /** Atomic and durable. */
  write(pool: ActivePool, name: string, text: string, ctx: OpContext): Promise<void> {
    return this.#call(pool, 'writeBackupManifest', { name, text }, ctx)
  }

  /** Success when it is gone. */
  remove(pool: ActivePool, name: string, ctx: OpContext): Promise<void> {
    return this.#call(pool, 'removeBackupManifest', { name }, ctx)
  }

  #call<M extends StorageMethod>(
    pool: ActivePool,
    method: M,
    params: Omit<StorageParams<M>, 'guard'>,
    ctx: OpContext,
  ): Promise<StorageResult<M>> {
    return callPoolFiles(this.#io, pool, 'backups', method, params, ctx)
  }
}
