import { isInside } from '../platform/files.ts'

/** The system lives here: neither these nor anything below them is a pool. */
const SYSTEM_TREES = [
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib32',
  '/lib64',
  '/proc',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
]

/** Shared parents: a directory below them is a fine pool, they themselves are not. */
const SHARED_PARENTS = [
  '/',
  '/data',
  '/home',
  '/media',
  '/mnt',
  '/opt',
  '/root',
  '/srv',
  '/tmp',
  '/var',
  '/var/cache',
  '/var/lib',
  '/var/lib/libvirt',
  '/var/lib/limiquantix',
  '/var/log',
  '/var/spool',
  '/var/tmp',
]

/** Why absolute, normalised `path` cannot be the root of a pool, as the end of a sentence that begins with it; undefined when it can. */
export function forbiddenPoolPath(path: string, reserved: readonly string[]): string | undefined {
  const tree = SYSTEM_TREES.find((directory) => isInside(directory, path))
  if (tree !== undefined) return `is part of the system (${tree}); give the pool a directory of its own`
  if (SHARED_PARENTS.includes(path)) return 'is shared with others; give the pool a directory of its own below it'
  const own = reserved.find((directory) => isInside(directory, path) || isInside(path, directory))
  if (own !== undefined) return `overlaps ${own}, where the agent keeps its own state`
  return undefined
}
