import path from 'node:path'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { OpContext } from '../../core/context.ts'
import { imageInfo } from '../../storage/qemu-img.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupDisk, VmBackup } from './backup-record.ts'
import { fileDigest } from './file-digest.ts'

/** Compares the files of a chain of backups, latest first, with what their manifests say: there, the same bytes, and each on the one before it in its own pool and nothing else. BACKUP_DAMAGED, POOL_*. */
export async function checkBackup(chain: readonly VmBackup[], deps: DomainDeps, ctx: OpContext): Promise<void> {
  for (const [index, link] of chain.entries()) {
    const { backend } = await deps.pools.require(link.poolId, ctx)
    for (const disk of link.disks) {
      const damaged = (what: string) =>
        new AgentError('BACKUP_DAMAGED', `disk ${disk.diskId} of backup ${quote(link.name)} (${disk.path}) ${what}`)
      ctx.progress?.({ phase: `digest of ${disk.diskId} in ${link.name}` })
      if ((await backend.getVolume(disk.volume, ctx)) === undefined) throw damaged('is gone')
      if ((await fileDigest(disk.path, ctx)) !== disk.sha256) throw damaged('is not what it was when it was made')
      const below = chain[index + 1]?.disks.find(({ diskId }) => diskId === disk.diskId)
      if (!(await standsOn(disk, below, ctx))) throw damaged(`does not stand on ${below?.path ?? 'itself alone'}`)
    }
  }
}

// A header that names another file would have that restored. Backups of earlier versions name the absolute path.
async function standsOn({ path: file }: BackupDisk, below: BackupDisk | undefined, ctx: OpContext): Promise<boolean> {
  try {
    const { backingFile, dataFile } = await imageInfo(file, 'qcow2', ctx)
    if (dataFile !== undefined) return false
    if (below === undefined || backingFile === undefined) return below === backingFile
    return backingFile === `./${path.basename(below.path)}` || backingFile === below.path
  } catch (error) {
    if (isAgentError(error, 'IMAGE_NOT_AN_IMAGE')) return false
    throw error
  }
}
