import type { DiskSource } from '../core/model.ts'
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

const DIRECT: DiskIo = { cache: 'none', io: 'native', iothread: true }
const BUFFERED: DiskIo = { cache: 'writeback', io: 'threads' }
const LIBRBD: DiskIo = { cache: 'writeback', iothread: true }

/**
 * How QEMU should open a disk. Files: past the host's page cache where the file system can do that, which keeps the host's memory for guests and is needed for
 * migration; elsewhere (tmpfs, overlays) through it. Devices: past it. Ceph images: with librbd's own cache of a few megabytes, which `cache: none` would turn off; it
 * writes through until the guest sends its first flush, and flushes when the guest does. What the kernel or librbd completes by itself is
 * taken care of by a thread of the disk, away from the one that serves everything else of the guest; where QEMU's pool of threads does the work there is one already. Read from mountinfo, without touching the file.
 */
export function diskIoFor(source: DiskSource, mounts: readonly MountEntry[]): DiskIo {
  switch (source.type) {
    case 'file':
      return WITH_O_DIRECT.has(mountOf(mounts, source.path)?.fsType ?? '') ? DIRECT : BUFFERED
    case 'block':
      return DIRECT
    case 'network':
      return LIBRBD
  }
}
