import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { OperationContext } from '../../../src/operations/operation.ts'
import { runSaga, undoSaga, type SagaJournal, type SagaStep } from '../../../src/operations/saga.ts'

type State = Readonly<Record<string, string>>
type Journal = SagaJournal<State>

/** A context that keeps what is saved and notes when. */
function context(log: string[], controller = new AbortController()) {
  const saved: Journal[] = []
  const ctx: OperationContext<Journal> = {
    id: 'saga',
    signal: controller.signal,
    log: silentLogger,
    journal: undefined,
    progress: () => undefined,
    async save(journal) {
      saved.push(structuredClone(journal))
      log.push(`save ${journal.begun.join('+')}`)
    },
  }
  return { ctx, saved, controller }
}

function steps(log: string[], change: Partial<Record<string, Partial<SagaStep<null, State>>>> = {}) {
  return ['disk', 'seed', 'define'].map((name): SagaStep<null, State> => ({
    name,
    async run() {
      log.push(`run ${name}`)
      return { [name]: 'made' }
    },
    async undo(_params, state) {
      log.push(`undo ${name} knowing ${Object.keys(state).join('+')}`)
    },
    ...change[name],
  }))
}

const fail = async () => {
  throw new Error('no seed')
}

describe('runSaga', () => {
  it('journals every step before it begins, with what the earlier ones learned', async () => {
    const log: string[] = []
    const { ctx, saved } = context(log)
    expect(await runSaga(steps(log), null, {}, ctx)).toEqual({ disk: 'made', seed: 'made', define: 'made' })
    expect(log).toEqual(['save disk', 'run disk', 'save disk+seed', 'run seed', 'save disk+seed+define', 'run define'])
    expect(saved.at(-1)).toEqual({ begun: ['disk', 'seed', 'define'], state: { disk: 'made', seed: 'made' } })
  })

  it('undoes what was begun, the failed step included, last first, and rethrows', async () => {
    const log: string[] = []
    await expect(runSaga(steps(log, { seed: { run: fail } }), null, {}, context(log).ctx)).rejects.toThrow('no seed')
    expect(log.slice(-2)).toEqual(['undo seed knowing disk', 'undo disk knowing disk'])
    expect(log.join()).not.toContain('define')
  })

  it('undoes on abort with a signal that still lives', async () => {
    const log: string[] = []
    const { ctx, controller } = context(log)
    const undone: boolean[] = []
    const undo: SagaStep<null, State>['undo'] = async (_params, _state, { signal }) => void undone.push(signal.aborted)
    const run: SagaStep<null, State>['run'] = async () => {
      controller.abort(new Error('cancelled'))
      return {}
    }
    await expect(runSaga(steps(log, { disk: { run, undo } }), null, {}, ctx)).rejects.toThrow('cancelled')
    expect(undone).toEqual([false])
    expect(log).toEqual(['save disk'])
  })

  it('goes on undoing when one undo fails, and tells why the work failed', async () => {
    const log: string[] = []
    const broken = steps(log, { define: { run: fail }, seed: { undo: () => Promise.reject(new Error('stuck')) } })
    await expect(runSaga(broken, null, {}, context(log).ctx)).rejects.toThrow('no seed')
    expect(log.at(-1)).toBe('undo disk knowing disk+seed')
  })

  it('runs a step beside the one before it, journaled with it, and keeps what both learned', async () => {
    const log: string[] = []
    const { ctx, saved } = context(log)
    const seedRuns = Promise.withResolvers<void>()
    const disk: SagaStep<null, State>['run'] = async () => {
      await seedRuns.promise
      return { disk: 'made' }
    }
    const seed: SagaStep<null, State>['run'] = async (_params, state) => {
      seedRuns.resolve()
      return { seed: `made knowing ${Object.keys(state).join('+')}` }
    }
    const together = steps(log, { disk: { run: disk }, seed: { run: seed, besidePrevious: true } })
    expect(await runSaga(together, null, {}, ctx)).toEqual({ disk: 'made', seed: 'made knowing ', define: 'made' })
    expect(saved.map(({ begun }) => begun)).toEqual([
      ['disk', 'seed'],
      ['disk', 'seed', 'define'],
    ])
  })

  it('journals a step early that says so, and undoes it only when it began', async () => {
    const log: string[] = []
    const { ctx, saved } = context(log)
    const early = { define: { journaledEarly: true } } as const
    await runSaga(steps(log, early), null, {}, ctx)
    expect(log).toEqual(['save disk', 'run disk', 'save disk+seed+define', 'run seed', 'run define'])
    expect(saved.at(-1)?.state).toEqual({ disk: 'made' })

    const failing: string[] = []
    const broken = steps(failing, { ...early, seed: { run: fail } })
    await expect(runSaga(broken, null, {}, context(failing).ctx)).rejects.toThrow('no seed')
    expect(failing.slice(-2)).toEqual(['undo seed knowing disk', 'undo disk knowing disk'])
  })

  it('ends the steps beside one that fails, waits for them, and undoes with what they learned', async () => {
    const log: string[] = []
    const disk: SagaStep<null, State>['run'] = async (_params, _state, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      log.push('disk ended')
      return { disk: 'half' }
    }
    const together = steps(log, { disk: { run: disk }, seed: { run: fail, besidePrevious: true } })
    await expect(runSaga(together, null, {}, context(log).ctx)).rejects.toThrow('no seed')
    expect(log).toEqual(['save disk+seed', 'disk ended', 'undo seed knowing disk', 'undo disk knowing disk'])
  })

  it('logs what a second step failed with by itself, and not that it was ended', async () => {
    const warned: object[] = []
    const { ctx } = context([])
    const log = { ...silentLogger, warn: (fields: object) => void warned.push(fields) }
    const after = (end: (reason: Error) => Error): SagaStep<null, State>['run'] => {
      return (_params, _state, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(end(signal.reason as Error))))
    }
    for (const run of [after((reason) => reason), after(() => new Error('disk full'))]) {
      const together = steps([], { disk: { run }, seed: { run: fail, besidePrevious: true } })
      await expect(runSaga(together, null, {}, { ...ctx, log })).rejects.toThrow('no seed')
    }
    expect(warned).toEqual([{ err: 'disk full' }])
  })

  it('tells the crash tests after each step', async () => {
    const log: string[] = []
    await runSaga(steps(log), null, {}, context(log).ctx, (name) => log.push(`after ${name}`))
    expect(log.filter((line) => line.startsWith('after'))).toEqual(['after disk', 'after seed', 'after define'])
  })
})

describe('undoSaga', () => {
  it('undoes from a journal what an earlier process began', async () => {
    const log: string[] = []
    const journal: Journal = { begun: ['disk', 'seed'], state: { disk: 'made' } }
    await undoSaga(steps(log), null, journal, context(log).ctx)
    expect(log).toEqual(['undo seed knowing disk', 'undo disk knowing disk'])
  })

  it('reports the first failure after all undos have been tried', async () => {
    const log: string[] = []
    const broken = steps(log, { seed: { undo: () => Promise.reject(new Error('stuck')) } })
    const journal: Journal = { begun: ['disk', 'seed'], state: {} }
    await expect(undoSaga(broken, null, journal, context(log).ctx)).rejects.toThrow('stuck')
    expect(log).toEqual(['undo disk knowing '])
  })
})
