import { readFile } from 'node:fs/promises'

/** One line of /proc/self/mountinfo (proc(5)). Reading it never touches the mounted file systems. */
export interface MountEntry {
  readonly mountId: number
  readonly parentId: number
  /** `major:minor` of the file system. */
  readonly device: string
  /** Directory of the file system that is mounted (bind mounts differ from `/`). */
  readonly root: string
  readonly mountPoint: string
  readonly options: string
  readonly fsType: string
  readonly source: string
  readonly superOptions: string
}

/** All mounts of this process's namespace in mount order. */
export async function readMounts(file = '/proc/self/mountinfo'): Promise<MountEntry[]> {
  return parseMountInfo(await readFile(file, 'utf8'))
}

/** Parses mountinfo text; lines that are not of the documented form are skipped. */
export function parseMountInfo(text: string): MountEntry[] {
  const mounts: MountEntry[] = []
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ')
    if (left === undefined || right === undefined) continue
    const l = left.split(' ')
    const r = right.split(' ')
    mounts.push({
      mountId: Number(l[0]),
      parentId: Number(l[1]),
      device: l[2] ?? '',
      root: unescapeOctal(l[3] ?? ''),
      mountPoint: unescapeOctal(l[4] ?? ''),
      options: l[5] ?? '',
      fsType: r[0] ?? '',
      source: unescapeOctal(r[1] ?? ''),
      superOptions: r[2] ?? '',
    })
  }
  return mounts
}

/** The mount that `path` is on: the longest mount point that contains it, the last one mounted there winning. */
export function mountOf(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  let best: MountEntry | undefined
  for (const mount of mounts) {
    const prefix = mount.mountPoint === '/' ? '/' : `${mount.mountPoint}/`
    const inside = path === mount.mountPoint || path.startsWith(prefix)
    if (inside && (best === undefined || mount.mountPoint.length >= best.mountPoint.length)) best = mount
  }
  return best
}

// The kernel writes space, tab, newline and backslash as \ooo.
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
}
