import { errorText } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { OperationContext } from './operation.ts'

/** Progress of a saga: `begun` steps may have left something, in this order. `state` is what later steps and undos need. */
export interface SagaJournal<S> {
  readonly begun: readonly string[]
  readonly state: S
}

/** One step. Both halves are idempotent; `undo` copes with a `run` that stopped anywhere, and removes only what this saga made. */
export interface SagaStep<P, S> {
  readonly name: string
  /** Does the step and returns the state with what it learned. */
  run(params: P, state: S, ctx: OperationContext<SagaJournal<S>>): Promise<S>
  undo(params: P, state: S, ctx: OperationContext<SagaJournal<S>>): Promise<void>
}

/**
 * Runs the steps in order, journaling each one before it begins. When one fails or is aborted, everything begun is undone in reverse order and the error is
 * rethrown. `afterStep` exists for crash tests.
 */
export async function runSaga<P, S>(
  steps: readonly SagaStep<P, S>[],
  params: P,
  initial: S,
  ctx: OperationContext<SagaJournal<S>>,
  afterStep?: (name: string) => void,
): Promise<S> {
  const begun: string[] = []
  let state = initial
  try {
    for (const [index, step] of steps.entries()) {
      ctx.signal.throwIfAborted()
      ctx.progress({ phase: step.name, percent: Math.round((index / steps.length) * 100) })
      begun.push(step.name)
      await ctx.save({ begun: [...begun], state })
      const startedAt = monotonicMs()
      state = await step.run(params, state, ctx)
      ctx.log.debug({ step: step.name, ms: Math.round(monotonicMs() - startedAt) }, 'step done')
      afterStep?.(step.name)
    }
    return state
  } catch (error) {
    // The caller needs to know why the work failed; a failing undo is in the log.
    await undoSaga(steps, params, { begun, state }, ctx).catch(() => undefined)
    throw error
  }
}

/** Undoes what the journal says was begun, last first. An undo that fails is logged and the rest still runs; the first failure is rethrown at the end. */
export async function undoSaga<P, S>(
  steps: readonly SagaStep<P, S>[],
  params: P,
  journal: SagaJournal<S>,
  ctx: OperationContext<SagaJournal<S>>,
): Promise<void> {
  // Undoing must not be stopped by the abort that made it necessary.
  const undoCtx = { ...ctx, signal: AbortSignal.timeout(120_000) }
  const failures: unknown[] = []
  for (const step of steps.toReversed()) {
    if (!journal.begun.includes(step.name)) continue
    try {
      await step.undo(params, journal.state, undoCtx)
    } catch (error) {
      failures.push(error)
      ctx.log.error({ step: step.name, err: errorText(error) }, 'undo failed')
    }
  }
  if (failures.length > 0) throw failures[0]
}
