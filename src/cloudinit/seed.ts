import { chmod, chown, mkdir, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import { run } from '../platform/exec.ts'
import { syncDirectory, TEMP_SUFFIX } from '../platform/files.ts'
import type { SeedDocuments } from './documents.ts'
import { findQemuGroup } from './qemu-group.ts'

/** File name of the seed inside the directory of its VM. */
export const SEED_FILE = 'cloud-init.iso'

const TIMEOUT_MS = 60_000

/**
 * How each tool is asked for an ISO 9660 image with Joliet and Rock Ridge; the arguments are mkisofs' own. xorriso comes last because every run of it sleeps for 0.1 s,
 * half of what a whole VM takes.
 */
const TOOLS = [
  { file: 'genisoimage', before: [] },
  { file: 'mkisofs', before: [] },
  { file: 'xorriso', before: ['-as', 'mkisofs'] },
] as const

/**
 * Writes the NoCloud seed `<directory>/cloud-init.iso` (volume id `cidata`) and returns its path. It is readable by root and the QEMU group only (0640) and
 * appears as a whole or not at all. Errors: COMMAND_MISSING (no ISO tool), COMMAND_FAILED, DEADLINE_EXCEEDED.
 */
export async function writeSeed(directory: string, documents: SeedDocuments, ctx: OpContext): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  const target = path.join(directory, SEED_FILE)
  const temp = await mkdtemp(path.join(directory, '.seed-'))
  try {
    const content = path.join(temp, 'content')
    const image = path.join(temp, `seed${TEMP_SUFFIX}`)
    await mkdir(content, { mode: 0o700 })
    for (const [name, text] of Object.entries(filesOf(documents))) {
      await writeFile(path.join(content, name), text, { mode: 0o600 })
    }
    await makeImage(content, image, ctx)
    await publish(image, target)
  } finally {
    await rm(temp, { recursive: true, force: true })
  }
  await syncDirectory(directory)
  return target
}

/** Puts a seed there that another host made: readable, and whole or not there, as one of `writeSeed`. */
export async function placeSeed(directory: string, image: Uint8Array): Promise<void> {
  const temp = await mkdtemp(path.join(directory, '.seed-'))
  try {
    const file = path.join(temp, `seed${TEMP_SUFFIX}`)
    await writeFile(file, image, { mode: 0o600 })
    await publish(file, path.join(directory, SEED_FILE))
  } finally {
    await rm(temp, { recursive: true, force: true })
  }
  await syncDirectory(directory)
}

function filesOf(documents: SeedDocuments): Record<string, string> {
  return {
    'user-data': documents.userData,
    'meta-data': documents.metaData,
    ...(documents.networkConfig === undefined ? {} : { 'network-config': documents.networkConfig }),
    ...(documents.vendorData === undefined ? {} : { 'vendor-data': documents.vendorData }),
  }
}

async function makeImage(content: string, image: string, ctx: OpContext): Promise<void> {
  let missing: unknown
  for (const tool of TOOLS) {
    const args = [...tool.before, '-quiet', '-output', image, '-volid', 'cidata', '-joliet', '-rational-rock', content]
    try {
      await run({ file: tool.file, args, package: 'genisoimage', timeoutMs: TIMEOUT_MS }, ctx.signal)
      return
    } catch (error) {
      if (!isAgentError(error, 'COMMAND_MISSING')) throw error
      missing ??= error
    }
  }
  throw missing
}

async function publish(image: string, target: string): Promise<void> {
  await chmod(image, 0o640)
  const group = await findQemuGroup()
  if (group !== undefined && process.getuid?.() === 0) await chown(image, 0, group)
  const handle = await open(image, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(image, target)
}
