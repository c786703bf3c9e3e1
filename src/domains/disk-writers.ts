import type { OpContext } from '../core/context.ts'
import type { DiskSource } from '../core/model.ts'
import { mountOf, type MountEntry } from '../platform/mounts.ts'
import { hasWriter } from '../storage/qemu-img.ts'
import type { DomainDisk } from './domain-info.ts'

/**
 * True when the locks that QEMU holds on the files at `path` are seen by every host that has them: NFS unless it is mounted with `nolock` or `local_lock`, and every file system that is one host's or a cluster's own.
 */
export function locksReachOthers(path: string, mounts: readonly MountEntry[]): boolean {
  const mount = mountOf(mounts, path)
  if (mount?.fsType !== 'nfs' && mount?.fsType !== 'nfs4') return mount !== undefined
  const options = mount.superOptions.split(',')
  return !options.some((option) => option === 'nolock' || option === 'local_lock=all' || option === 'local_lock=posix')
}

/** The first of a VM's disks in files below `root` that a QEMU, here or on another host, has open for writing. Errors: those of `run`. */
export async function firstWritten(
  disks: readonly Pick<DomainDisk, 'id' | 'place' | 'format' | 'readonly'>[],
  ctx: OpContext,
): Promise<string | undefined> {
  for (const { id, place, format, readonly } of disks) {
    if (readonly || !place.startsWith('/')) continue
    const stated: DiskSource['format'] = format === 'qcow2' ? 'qcow2' : 'raw'
    if (await hasWriter(place, stated, ctx)) return id
  }
  return undefined
}
