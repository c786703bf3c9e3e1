import { mountOf, type MountEntry } from '../platform/mounts.ts'
import type { DiskIo } from './definition.ts'

/** File systems on which O_DIRECT works, by their type in mountinfo. */
const WITH_O_DIRECT: ReadonlySet<string> = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'nfs',
  'nfs4',
  'ceph',
  'gfs2',
  'ocfs2',
  'f2fs',
])

const DIRECT: DiskIo = { cache: 'none', io: 'native' }
const BUFFERED: DiskIo = { cache: 'writeback', io: 'threads' }

/**
 * How QEMU should open a disk at `path`: past the host's page cache where the file system can do that, which keeps the host's memory for guests and is needed for
 * migration; elsewhere (tmpfs, overlays) through it. Read from mountinfo, without touching the file.
 */
export function diskIoFor(path: string, mounts: readonly MountEntry[]): DiskIo {
  if (path.startsWith('/dev/')) return DIRECT
  return WITH_O_DIRECT.has(mountOf(mounts, path)?.fsType ?? '') ? DIRECT : BUFFERED
}
