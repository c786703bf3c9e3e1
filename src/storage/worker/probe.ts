import { lstatSync, readdirSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { WorkerCall } from '../../platform/workers.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { poolError } from './errno.ts'
import { fileSystemSpace, type FileSystemSpace } from './file-system-space.ts'
import { at, openPool } from './pool-root.ts'
import { countRecords, openRecords, PROBE_FILE, writeDurably } from './records.ts'

/** What a look at a pool found. `write` is `unchecked` when no write was asked for. */
export interface PoolFacts extends FileSystemSpace {
  readonly volumeCount: number
  readonly write: 'good' | 'full' | 'refused' | 'unchecked'
  /** Why a write was refused. */
  readonly writeError: string
}

/** Checks the identity of a pool, its space and volumes, and with `write` that a small file can be written durably. */
export async function probePool(params: { guard: PoolGuard; write: boolean }): Promise<PoolFacts> {
  await using root = await openPool(params.guard)
  const space = await fileSystemSpace(at(root, '.')).catch((error: unknown) => {
    throw poolError(error, params.guard.root)
  })
  const written = params.write ? await tryWrite(root) : { write: 'unchecked' as const, writeError: '' }
  return {
    ...space,
    volumeCount: await countRecords(root),
    ...written,
  }
}

/** Bytes allocated by everything in the pool, other mounts excluded: what counts against a configured capacity. */
export async function allocatedInPool(params: { guard: PoolGuard }, call: WorkerCall): Promise<number> {
  await using root = await openPool(params.guard)
  const top = at(root, '.')
  const { dev } = lstatSync(top)
  const counted = new Set<number>()
  const pending = [top]
  let bytes = 0
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const name of namesIn(directory)) {
      const path = `${directory}/${name}`
      const stat = lstatSync(path, { throwIfNoEntry: false })
      if (stat === undefined || stat.dev !== dev) continue
      if (stat.isDirectory()) pending.push(path)
      else if (stat.nlink > 1) {
        if (counted.has(stat.ino)) continue
        counted.add(stat.ino)
      }
      bytes += stat.blocks * 512
    }
    await setImmediate()
    call.signal.throwIfAborted()
  }
  return bytes
}

// Directories come and go under a walk, and one that may not be read holds nothing of ours.
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

async function tryWrite(root: FileHandle): Promise<Pick<PoolFacts, 'write' | 'writeError'>> {
  try {
    await using records = await openRecords(root)
    await writeDurably(records, PROBE_FILE, `${Date.now()}\n`, 0o600, false)
    return { write: 'good', writeError: '' }
  } catch (error) {
    const { reason, message } = poolError(error, 'write probe')
    if (reason === 'POOL_FULL') return { write: 'full', writeError: message }
    if (reason === 'POOL_NOT_WRITABLE') return { write: 'refused', writeError: message }
    throw error
  }
}
