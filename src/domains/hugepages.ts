import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { formatBytes, KIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'

/** Huge pages of the kernel's default size: what a guest with `<hugepages/>` is given. */
export interface Hugepages {
  readonly pageBytes: number
  readonly total: number
  readonly free: number
}

/** Reads the huge pages of the host from /proc/meminfo (`root` stands for /proc in tests). Undefined when its kernel has none. */
export async function readHugepages(root = '/proc'): Promise<Hugepages | undefined> {
  const text = await readFile(path.join(root, 'meminfo'), 'utf8')
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const pageBytes = number('Hugepagesize') * KIB
  if (pageBytes === 0) return undefined
  return { pageBytes, total: number('HugePages_Total'), free: number('HugePages_Free') }
}

/** Refuses a guest whose memory the host's huge pages could never hold, whoever else uses some. Errors: HOST_LACKS_FEATURE. */
export function requireHugepages(pages: Hugepages | undefined, memoryBytes: number, vmId: string): void {
  const has = pages === undefined ? 0 : pages.total * pages.pageBytes
  if (has >= memoryBytes) return
  const needed =
    pages === undefined ? '' : ` (${Math.ceil(memoryBytes / pages.pageBytes)} of ${formatBytes(pages.pageBytes)})`
  throw new AgentError(
    'HOST_LACKS_FEATURE',
    `VM ${vmId}: its ${formatBytes(memoryBytes)} are to be huge pages${needed}, and this host has ${has === 0 ? 'none' : formatBytes(has)}; raise vm.nr_hugepages with sysctl, or do not ask for huge pages`,
  )
}
