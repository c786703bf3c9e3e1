import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { wireText } from '../../../src/core/wire-text.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { createPoolService } from '../../../src/services/pool-service.ts'
import { browserOf, collect, wholeDirectory } from '../../support/browse.ts'
import { reasonOf, startAgent, tempDirectory } from './fixture.ts'

const signal = AbortSignal.timeout(15_000)

test('a caller that hangs up ends its waiting, not the initialisation', async () => {
  const base = await tempDirectory()
  const agent = await startAgent(base)
  const service = createPoolService(agent.pools, browserOf(agent), silentLogger)
  const config = { poolId: 'p1', kind: 'LOCAL_DIR', options: { path: `${base}/pool` } } as const
  const controller = new AbortController()
  const call = service.init(config, controller.signal)
  controller.abort(new Error('hung up'))
  await expect(call).rejects.toThrow('hung up')
  // Waits for the lock of the pool, and so for the end of the first one.
  expect(await service.init(config, signal)).toMatchObject({ mountPath: `${base}/pool` })
  expect(await service.list(signal)).toHaveLength(1)
})

test('an unknown pool is told in the words the control plane waits for', async () => {
  const agent = await startAgent(await tempDirectory())
  const service = createPoolService(agent.pools, browserOf(agent), silentLogger)
  const error = await collect(service.files('6a1b', wholeDirectory(''), signal)).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(AgentError)
  expect(wireText(error as AgentError)).toMatch(/^pool 6a1b not found/)
})

test('no other error has words the control plane takes for success or absence', async () => {
  const base = await tempDirectory()
  const agent = await startAgent(base)
  const service = createPoolService(agent.pools, browserOf(agent), silentLogger)
  const config = { poolId: 'p1', kind: 'LOCAL_DIR', options: { path: `${base}/pool` } } as const
  await service.init(config, signal)
  const failures = [
    service.init({ ...config, options: { path: `${base}/other` } }, signal),
    service.init({ ...config, poolId: 'p2' }, signal),
    service.init({ ...config, poolId: 'p2', options: { path: '/etc' } }, signal),
    collect(service.files('p1', wholeDirectory('nothing'), signal)),
    collect(service.files('p1', wholeDirectory('../x'), signal)),
    service.openFile('p1', 'nothing', signal),
    service.renameFile('p1', 'nothing', 'other', signal),
    service.deleteFile('p1', '.limiquantix-pool.json', signal),
    service.makeDirectory('p1', '.limiquantix', signal),
  ]
  for (const failure of await Promise.allSettled(failures)) {
    const { message } = (failure.status === 'rejected' ? failure.reason : failure) as Error
    expect(message).not.toMatch(/already|exists|not ?found|no mount path|failed_precondition/i)
  }
})

test.each(['info', 'destroy'] as const)('%s without a pool id is an invalid request', async (method) => {
  const agent = await startAgent(await tempDirectory())
  expect(await reasonOf(createPoolService(agent.pools, browserOf(agent), silentLogger)[method]('', signal))).toBe(
    'INVALID_REQUEST',
  )
})
