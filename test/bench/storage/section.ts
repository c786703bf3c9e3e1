import type { NodeClient } from '../../control-plane/node-client.ts'
import type { AgentProcess } from '../../support/agent-process.ts'

/** What every section of the storage benchmark is given. A section prints its own table, each figure beside its named peer from the same run. */
export interface StorageBench {
  /** A directory of the section alone, on a real disk; removed at the end. */
  readonly directory: string
  /** An agent of the section alone, without libvirt, serving. */
  readonly agent: AgentProcess
  readonly node: NodeClient
  /** Makes the local pool `poolId` at `path`. */
  localPool(poolId: string, path: string): Promise<void>
}

/** One part of `npm run bench:storage`, by the name that selects it. */
export interface StorageSection {
  readonly name: string
  /** Why it cannot run here, or undefined. */
  readonly missing?: () => Promise<string | undefined>
  run(bench: StorageBench): Promise<void>
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}
