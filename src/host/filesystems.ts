import { statfs } from 'node:fs/promises'
import path from 'node:path'
import type { FilesystemFacts } from '../core/model.ts'
import { mountOf, type MountEntry } from '../platform/mounts.ts'
import { isLocalBlockDevice } from './block-devices.ts'
import { followLink } from '../platform/sysfs.ts'

/** Local file systems whose numbers are worth telling. */
const DISK_TYPES = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'jfs', 'vfat'])
const MEMORY_TYPES = new Set(['tmpfs', 'ramfs'])
/** Told by name only: asking them may wait for a server. */
const NETWORK_TYPES = /^(nfs4?|ceph|cifs|smb3|9p|virtiofs|glusterfs|ocfs2|gfs2|afs|fuse(blk|\..*)?)$/
const STATFS_TIMEOUT_MS = 1_000

/** Mounts to report, and whether their numbers may be asked for. */
export interface MountPlan {
  readonly mount: MountEntry
  readonly ask: boolean
}

/**
 * Chooses the mounts to report, one per file system. Numbers are only asked for where no server can hold up the answer: the file system is local (`isLocal`,
 * by mount), nothing is mounted over it, and every file system on the way to its mount point is local too.
 */
export function planMounts(mounts: readonly MountEntry[], isLocal: (mount: MountEntry) => boolean): MountPlan[] {
  const plans = new Map<string, MountPlan>()
  for (const mount of mounts) {
    const kind = kindOf(mount)
    if (kind === 'other' || plans.has(mount.device)) continue
    const visible = mountOf(mounts, mount.mountPoint) === mount
    // Of a file system that is mounted several times the whole tree is told, not a part that is bound elsewhere.
    const bound = mount.root !== '/' && mount.fsType !== 'btrfs'
    if (!visible || bound) continue
    plans.set(mount.device, { mount, ask: kind === 'local' && ancestorsAreLocal(mounts, mount, isLocal) })
  }
  return [...plans.values()]
}

function ancestorsAreLocal(mounts: readonly MountEntry[], mount: MountEntry, isLocal: (m: MountEntry) => boolean) {
  for (let at = mount.mountPoint; ; at = path.dirname(at)) {
    const on = mountOf(mounts, at)
    if (on === undefined || !isLocal(on)) return false
    if (at === '/') return true
  }
}

function kindOf(mount: MountEntry): 'local' | 'network' | 'other' {
  if (DISK_TYPES.has(mount.fsType)) return 'local'
  if (NETWORK_TYPES.test(mount.fsType)) return 'network'
  // Memory file systems of the system itself are noise; those with data are the writable ones outside /dev, /run and /sys.
  return MEMORY_TYPES.has(mount.fsType) && !/^\/(dev|run|sys|proc)(\/|$)/.test(mount.mountPoint) ? 'local' : 'other'
}

/** Local by type and device: pseudo and memory file systems are, network ones are not, the rest as their block device is. */
export async function findLocalMounts(mounts: readonly MountEntry[], sys: string): Promise<Set<MountEntry>> {
  const local = new Set<MountEntry>()
  for (const mount of mounts) if (await isLocalMount(mount, sys)) local.add(mount)
  return local
}

async function isLocalMount(mount: MountEntry, sys: string): Promise<boolean> {
  if (/^(proc|sysfs|devtmpfs|tmpfs|ramfs|cgroup2?|devpts|mqueue|hugetlbfs|debugfs|tracefs)$/.test(mount.fsType))
    return true
  if (!DISK_TYPES.has(mount.fsType)) return false
  // btrfs has a device number of its own: its members are known by name.
  const name = mount.device.startsWith('0:')
    ? path.basename(await followLink(mount.source))
    : path.basename(await followLink(sys, 'dev/block', mount.device))
  return name !== '' && (await isLocalBlockDevice(sys, name))
}

let stuck = 0

/** File systems of the host with their numbers; those that must not be asked, or do not answer within 1 s, have zeros. */
export async function readFilesystems(mounts: readonly MountEntry[], sys: string): Promise<FilesystemFacts[]> {
  const local = await findLocalMounts(mounts, sys)
  const facts: FilesystemFacts[] = []
  for (const { mount, ask } of planMounts(mounts, (candidate) => local.has(candidate))) {
    const numbers = ask ? await askNumbers(mount.mountPoint) : undefined
    facts.push({
      device: mount.source,
      mountPoint: mount.mountPoint,
      filesystem: mount.fsType,
      totalBytes: numbers?.totalBytes ?? 0,
      usedBytes: numbers?.usedBytes ?? 0,
      availableBytes: numbers?.availableBytes ?? 0,
    })
  }
  return facts
}

// A local disk can hang too. One call that does not come back costs one thread of the pool, so while it is out no other is made.
async function askNumbers(mountPoint: string) {
  if (stuck > 0) return undefined
  stuck++
  const answer = statfs(mountPoint)
    .then((s) => ({
      totalBytes: s.blocks * s.bsize,
      usedBytes: (s.blocks - s.bfree) * s.bsize,
      availableBytes: s.bavail * s.bsize,
    }))
    .catch(() => undefined)
    .finally(() => stuck--)
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), STATFS_TIMEOUT_MS)
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
