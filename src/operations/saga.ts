import type { OpContext } from '../core/context.ts'
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
  /** It needs nothing from the step before it, and runs at the same time. */
  readonly besidePrevious?: true
  /** Its undo needs nothing that the steps before it learn, and copes with a run that never began: it is journaled with the step before it, which saves a write. */
  readonly journaledEarly?: true
  /** Does the step and returns what it learned of the state. */
  run(params: P, state: S, ctx: OperationContext<SagaJournal<S>>): Promise<Partial<S>>
  undo(params: P, state: S, ctx: OperationContext<SagaJournal<S>>): Promise<void>
}

/**
 * Runs the steps in order, each one journaled before it begins. When one fails or is aborted, those beside it are aborted, everything begun is undone in reverse order and the error is
 * rethrown. `afterStep` exists for crash tests.
 */
export async function runSaga<P, S extends object>(
  steps: readonly SagaStep<P, S>[],
  params: P,
  initial: S,
  ctx: OperationContext<SagaJournal<S>>,
  afterStep?: (name: string) => void,
): Promise<S> {
  const begun: string[] = []
  let state = initial
  try {
    const stages = stagesOf(steps)
    for (const [at, stage] of stages.entries()) {
      ctx.signal.throwIfAborted()
      const names = stage.map(({ name }) => name)
      ctx.progress({ phase: names.join(', '), percent: Math.round((begun.length / steps.length) * 100) })
      begun.push(...names)
      if (at === 0 || !isEarly(stage)) await ctx.save({ begun: [...begun, ...earlyAfter(stages, at)], state })
      const before = state
      await sideBySide(stage, ctx, async (step, stepCtx) => {
        const startedAt = monotonicMs()
        const learned = await step.run(params, before, stepCtx)
        state = { ...state, ...learned }
        ctx.log.debug({ step: step.name, ms: Math.round(monotonicMs() - startedAt) }, 'step done')
        afterStep?.(step.name)
      })
    }
    return state
  } catch (error) {
    // The caller needs to know why the work failed; a failing undo is in the log.
    await undoSaga(steps, params, { begun, state }, ctx).catch(() => undefined)
    throw error
  }
}

function stagesOf<P, S>(steps: readonly SagaStep<P, S>[]): SagaStep<P, S>[][] {
  const stages: SagaStep<P, S>[][] = []
  for (const step of steps) {
    const stage = step.besidePrevious === true ? stages.at(-1) : undefined
    if (stage === undefined) stages.push([step])
    else stage.push(step)
  }
  return stages
}

function isEarly<P, S>(stage: readonly SagaStep<P, S>[]): boolean {
  return stage.every(({ journaledEarly }) => journaledEarly === true)
}

// Names of the steps that are journaled with the stage at `at`, in order.
function earlyAfter<P, S>(stages: readonly SagaStep<P, S>[][], at: number): string[] {
  const next = stages[at + 1]
  return next === undefined || !isEarly(next) ? [] : [...next.map(({ name }) => name), ...earlyAfter(stages, at + 1)]
}

// Ends when all have ended: what is undone must not be in the making. Throws what the first to fail threw; what another one threw by itself is logged.
async function sideBySide<T, C extends OpContext>(
  all: readonly T[],
  ctx: C,
  run: (one: T, ctx: C) => Promise<void>,
): Promise<void> {
  const failed = new AbortController()
  const each = { ...ctx, signal: AbortSignal.any([ctx.signal, failed.signal]) }
  const fail = (error: unknown) => {
    const isEcho = error === each.signal.reason
    if (failed.signal.aborted && !isEcho)
      ctx.log.warn({ err: errorText(error) }, 'a step beside one that failed ends too')
    failed.abort(error)
  }
  const runs = all.map((one) => run(one, each).catch(fail))
  await Promise.all(runs)
  failed.signal.throwIfAborted()
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
