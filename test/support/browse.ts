import type { OpContext } from '../../src/core/context.ts'
import type { PoolFile, PoolFileBatch, PoolFileQuery } from '../../src/core/model.ts'
import { FileBrowser } from '../../src/storage/browser.ts'
import type { StorageEnvironment } from '../../src/storage/environment.ts'
import type { PoolManager } from '../../src/storage/pool-manager.ts'

/** The part of an agent the file browser needs. */
export interface Browsable {
  readonly pools: PoolManager
  readonly environment: StorageEnvironment
  readonly ctx: OpContext
}

/** The file browser of an agent. */
export function browserOf({ pools, environment }: Omit<Browsable, 'ctx'>): FileBrowser {
  return new FileBrowser({ pools, io: environment.io, nodeId: environment.nodeId })
}

/** A question for a whole directory in the order of the contract; `change` replaces parts. */
export function wholeDirectory(path: string, change: Partial<PoolFileQuery> = {}): PoolFileQuery {
  return { path, offset: 0, order: 'name', descending: false, form: 'json', ...change }
}

function decoded(bytes: Buffer): PoolFile[] {
  const entries = JSON.parse(`[${bytes.toString()}]`) as (Omit<PoolFile, 'modifiedAt'> & { modifiedAt: string })[]
  return entries.map((entry) => ({ ...entry, modifiedAt: Date.parse(entry.modifiedAt) }))
}

/** All entries of an answer in the form `json`. */
export async function collect(batches: AsyncIterable<PoolFileBatch>): Promise<PoolFile[]> {
  const files: PoolFile[] = []
  for await (const { bytes } of batches) files.push(...decoded(bytes))
  return files
}

/** The entries of a directory, or of a part of it. */
export async function listFiles(
  agent: Browsable,
  poolId: string,
  path: string,
  change: Partial<PoolFileQuery> = {},
): Promise<PoolFile[]> {
  return collect(browserOf(agent).list(poolId, wholeDirectory(path, change), agent.ctx))
}
