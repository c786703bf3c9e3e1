import type { OpContext, Progress } from '../core/context.ts'
import type { ErrorRecord } from '../core/errors.ts'

/** Life of long work: `pending` waits for its locks; the last three are final. */
export type OperationState = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'

/** Long work as it is persisted. `params`, `result` and `journal` are JSON values owned by the handler of `kind`. Times: ms since the epoch. */
export interface OperationRecord<P = unknown, R = unknown, J = unknown> {
  readonly id: string
  readonly kind: string
  /** The object it works on, for people: `vm 6f…`, `image debian-12`. */
  readonly subject: string
  /** Two requests with the same key share one operation while it runs. */
  readonly dedupeKey?: string
  readonly locks: readonly string[]
  readonly params: P
  readonly state: OperationState
  readonly progress?: Progress
  readonly result?: R
  readonly error?: ErrorRecord
  /** What the handler wrote down to be able to go on, or to undo, after a crash. */
  readonly journal?: J
  readonly createdAt: number
  readonly startedAt?: number
  readonly finishedAt?: number
  /** The failed or cancelled operation that this one is another attempt of. */
  readonly retryOf?: string
}

/** Context of a running operation. */
export interface OperationContext<J> extends OpContext {
  readonly id: string
  /** The journal of an earlier, interrupted run; undefined in the first run. */
  readonly journal: J | undefined
  readonly progress: (progress: Progress) => void
  /** Writes the journal durably: on disk when the promise resolves. */
  save(journal: J): Promise<void>
}

/** How operations of one kind run. */
export interface OperationHandler<P, R, J> {
  readonly kind: string
  /** Runs the work, from the start or from `ctx.journal`. Idempotent: it may be called again after a crash at any line. */
  run(params: P, ctx: OperationContext<J>): Promise<R>
  /**
   * What a restart does with an interrupted operation: run it again, or `rollback` it and record it as failed.
   */
  readonly onRestart: 'resume' | 'rollback'
  /** Removes every trace of an interrupted run, from its journal. Needed with onRestart 'rollback'. */
  rollback?(params: P, ctx: OperationContext<J>): Promise<void>
  /** On shutdown: wait for it (`finish`, within the grace period) or stop it at once and go on after the restart (`interrupt`). */
  readonly onShutdown: 'finish' | 'interrupt'
  /** The parameters of another attempt after a failure or cancellation; absent for work that only its first caller can ask for. Throws when it cannot be tried again. */
  retry?(params: P): P
  /** Present rate of a running operation; 0 when unknown. Absent for work that moves no bytes. */
  bytesPerSecond?(id: string): number
}

/** True when the state is final. */
export function isFinal(state: OperationState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}
