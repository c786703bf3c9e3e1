import type { ErrorRecord } from '../../../src/core/errors.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import type { PoolTraits } from '../../../src/storage/backend.ts'

/** What a fixture in the guest is, as the suite outside needs it. */
export interface FixtureFacts {
  readonly fixture: number
  readonly traits: PoolTraits
  readonly config: BackendFacts
  readonly rival: BackendFacts
  readonly secrets: readonly string[]
}

/** A backend for one configuration: its plain members, and the names of its methods (`resize`, `snapshots.create`). */
export interface BackendFacts {
  readonly config: PoolConfig
  readonly mountPath: string
  readonly methods: readonly string[]
}

/** One line of JSON towards the guest. `backend` numbers are given by the caller; a new one is a new object. */
export type Request =
  | { readonly id: number; readonly open: string; readonly params: unknown }
  | {
      readonly id: number
      readonly fixture: number
      readonly method:
        | 'contents'
        | 'plantForeign'
        | 'takeAway'
        | 'giveBack'
        | 'stall'
        | 'stallReached'
        | 'stallEnd'
        | 'bytes'
        | 'close'
      readonly args: readonly unknown[]
    }
  | {
      readonly id: number
      readonly fixture: number
      readonly backend: number
      readonly poolId: string
      readonly method: string
      readonly args: readonly unknown[]
    }
  | { readonly cancel: number }

/** One line of JSON from the guest. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorRecord }
  | {
      readonly id: number
      readonly log: { readonly level: string; readonly fields: object; readonly message?: string }
    }
