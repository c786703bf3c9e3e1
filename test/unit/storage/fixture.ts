import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, onTestFinished } from 'vitest'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager, type PoolManagerOptions } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { StorageIo } from '../../../src/storage/storage-io.ts'
import { recordingLogger } from '../../conformance/recording-logger.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

/** A temporary directory that goes with the test. */
export async function tempDirectory(): Promise<string> {
  const base = await mkdtemp(path.join(tmpdir(), 'lqx-storage-'))
  onTestFinished(() => rm(base, { recursive: true, force: true }))
  return base
}

// Starting a helper takes longer than all a test does with it, so the tests of a file share one.
let shared: StorageIo | undefined
afterAll(() => shared?.close())

export interface Agent {
  readonly pools: PoolManager
  readonly environment: StorageEnvironment
  readonly ctx: OpContext
  readonly lines: readonly string[]
}

/** A pool manager with real helpers and a real state directory below `base`; started again on the same base, it is the agent after a restart. */
export async function startAgent(base: string, change: Pick<PoolManagerOptions, 'guestPlaces'> = {}): Promise<Agent> {
  const log = recordingLogger()
  shared ??= new StorageIo(silentLogger)
  const environment = storageEnvironment(base, { io: shared, log })
  const store = openStateStore(`${base}/state`, log).collection<PoolRecord>('pools')
  const pools = new PoolManager({ factories: poolBackends(environment), environment, store, ...change })
  onTestFinished(() => pools.stop())
  await pools.start()
  return { pools, environment, ctx: { signal: AbortSignal.timeout(15_000), log }, lines: log.lines }
}

/** The reason `work` fails with, or 'no error'; anything but an AgentError is thrown on. */
export async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    if (error instanceof AgentError) return error.reason
    throw error
  }
}
