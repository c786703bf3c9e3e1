import { readdir, readFile, realpath } from 'node:fs/promises'
import path from 'node:path'

/** An attribute of sysfs or procfs as trimmed text; empty when the kernel does not have it or refuses it (a link that is down has no speed). */
export async function readAttribute(...parts: string[]): Promise<string> {
  return (await readFile(path.join(...parts), 'utf8').catch(() => '')).trim()
}

/** A numeric attribute; undefined when it is absent or not a number. */
export async function readNumber(...parts: string[]): Promise<number | undefined> {
  const text = await readAttribute(...parts)
  return /^-?\d+$/.test(text) ? Number(text) : undefined
}

/** Names in a directory of sysfs, sorted; empty when it is not there. */
export async function listNames(...parts: string[]): Promise<string[]> {
  return (await readdir(path.join(...parts)).catch(() => [])).sort()
}

/** Where a link of sysfs leads, as an absolute path; empty when it is not there. */
export async function followLink(...parts: string[]): Promise<string> {
  return realpath(path.join(...parts)).catch(() => '')
}
