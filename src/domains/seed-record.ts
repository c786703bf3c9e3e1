import path from 'node:path'
import { readTextIfPresent, writeFileAtomic } from '../platform/files.ts'
import { vmDirectory } from './names.ts'

/** Name of the record in the directory of its VM. */
export const SEED_DIGEST_FILE = 'cloud-init.digest'

/** Remembers, for root's eyes only, which cloud-init documents the seed of a VM was made of. */
export async function recordSeed(stateDir: string, vmId: string, digest: string): Promise<void> {
  await writeFileAtomic(path.join(vmDirectory(stateDir, vmId), SEED_DIGEST_FILE), `${digest}\n`)
}

/** False when the VM's seed is known to be made of other documents; a lost record does not make a VM another one. */
export async function isSameSeed(stateDir: string, vmId: string, digest: string): Promise<boolean> {
  const recorded = await readTextIfPresent(path.join(vmDirectory(stateDir, vmId), SEED_DIGEST_FILE))
  return recorded === undefined || recorded.trim() === digest
}
