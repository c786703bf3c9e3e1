import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { MountQueue } from '../../../src/platform/mount-queue.ts'

const never = new AbortController().signal
const silent = () => new AgentError('SERVER_NOT_ANSWERING', 'NFS server nas does not answer')

describe('mounts of one server', () => {
  test('wait for each other, those of another one do not', async () => {
    const queue = new MountQueue()
    const seen: string[] = []
    const gate = Promise.withResolvers<void>()
    const first = queue.run('a', never, async () => {
      seen.push('a1 begins')
      await gate.promise
      seen.push('a1 ends')
    })
    const second = queue.run('a', never, () => Promise.resolve(void seen.push('a2')))
    await queue.run('b', never, () => Promise.resolve(void seen.push('b')))
    gate.resolve()
    await Promise.all([first, second])
    expect(seen).toEqual(['a1 begins', 'b', 'a1 ends', 'a2'])
  })

  test('share the news that it does not answer with those that waited, but not with later ones', async () => {
    const queue = new MountQueue()
    const gate = Promise.withResolvers<void>()
    let asked = 0
    const first = queue.run('a', never, async () => {
      asked++
      await gate.promise
    })
    const second = queue.run('a', never, () => Promise.resolve(++asked))
    gate.reject(silent())
    await expect(first).rejects.toMatchObject({ reason: 'SERVER_NOT_ANSWERING' })
    await expect(second).rejects.toMatchObject({ reason: 'SERVER_NOT_ANSWERING' })
    expect(asked).toBe(1)
    expect(await queue.run('a', never, () => Promise.resolve(++asked))).toBe(2)
  })

  test('do not share what is wrong with one export only', async () => {
    const queue = new MountQueue()
    const denied = () => Promise.reject(new AgentError('EXPORT_DENIED', 'no'))
    const results = await Promise.allSettled([
      queue.run('a', never, denied),
      queue.run('a', never, () => Promise.resolve('mounted')),
    ])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
  })

  test('waiting ends with the caller', async () => {
    const queue = new MountQueue()
    const gate = Promise.withResolvers<void>()
    const first = queue.run('a', never, () => gate.promise)
    const controller = new AbortController()
    const second = queue.run('a', controller.signal, () => Promise.resolve('never'))
    controller.abort(new AgentError('CANCELLED', 'gone'))
    await expect(second).rejects.toMatchObject({ reason: 'CANCELLED' })
    gate.resolve()
    await first
  })
})
