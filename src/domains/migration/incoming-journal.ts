import type { VolumeRef } from '../vm-remains.ts'
import type { SnapshotRecord } from './snapshot-metadata.ts'

/** What an incoming migration is asked for. */
export interface IncomingParams {
  readonly vmId: string
  readonly name: string
  /** The guest stands still when it comes. */
  readonly paused: boolean
  /** No guest comes, only what it is made of. */
  readonly off: boolean
  /** Volumes that are made here for copies. */
  readonly volumes: readonly VolumeRef[]
}

/** `split`: without all of its memory, which does not come any more. */
export type Here = 'arrived' | 'split'

/** `opening`: nothing can run here. `finishing`: libvirt was asked to let it run, or a VM that is off is defined here. `gone`: it did not come, and what is left of it is removed. The others: it is here. */
export interface IncomingJournal {
  readonly phase: 'opening' | 'finishing' | 'gone' | Here
  /** For the definition, should libvirt or the agent be killed before it is written. */
  readonly configXml: string
  /** A keptDefinition of what libvirt may have made for it. */
  readonly kept?: string
  /** To be defined here, parents first; absent when there are none. */
  readonly snapshots?: readonly SnapshotRecord[]
}

/** What came of it. */
export interface IncomingResult {
  readonly state: 'arrived'
}
