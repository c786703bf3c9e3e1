import { describe, expect, it } from 'vitest'
import { abortable, KeyedLock } from '../../../src/core/keyed-lock.ts'

const open = new AbortController().signal

describe('KeyedLock', () => {
  it('runs holders of one key one after the other, in order', async () => {
    const lock = new KeyedLock()
    const seen: string[] = []
    const gate = Promise.withResolvers<void>()
    const first = lock.run('a', open, async () => {
      await gate.promise
      seen.push('first')
    })
    const second = lock.run('a', open, async () => void seen.push('second'))
    const other = lock.run('b', open, async () => void seen.push('other'))
    await other
    gate.resolve()
    await Promise.all([first, second])
    expect(seen).toEqual(['other', 'first', 'second'])
    expect(lock.isHeld('a')).toBe(false)
  })

  it('lets a waiter give up without breaking the queue behind it', async () => {
    const lock = new KeyedLock()
    const release = await lock.acquire('a', open)
    const controller = new AbortController()
    const impatient = lock.run('a', controller.signal, async () => 'never')
    const patient = lock.run('a', open, async () => 'mine')
    controller.abort(new Error('gave up'))
    await expect(impatient).rejects.toThrow('gave up')
    release()
    await expect(patient).resolves.toBe('mine')
  })

  it('stays held when the last waiter gives up', async () => {
    const lock = new KeyedLock()
    const release = await lock.acquire('a', open)
    const controller = new AbortController()
    const impatient = lock.acquire('a', controller.signal)
    controller.abort(new Error('gave up'))
    await expect(impatient).rejects.toThrow('gave up')
    expect(lock.isHeld('a')).toBe(true)
    const order: string[] = []
    const next = lock.run('a', open, async () => void order.push('next'))
    await new Promise(setImmediate)
    order.push('released')
    release()
    await next
    expect(order).toEqual(['released', 'next'])
    expect(lock.isHeld('a')).toBe(false)
  })

  it('takes several keys without deadlock whatever their order', async () => {
    const lock = new KeyedLock()
    const both = Promise.all([
      lock.runAll(['a', 'b'], open, async () => 1),
      lock.runAll(['b', 'a'], open, async () => 2),
    ])
    await expect(both).resolves.toEqual([1, 2])
  })

  it('frees the key when the work fails', async () => {
    const lock = new KeyedLock()
    await expect(lock.run('a', open, () => Promise.reject(new Error('boom')))).rejects.toThrow('boom')
    await expect(lock.run('a', open, async () => 'again')).resolves.toBe('again')
  })
})

describe('abortable', () => {
  it('handles the failure of what it does not wait for any more', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    try {
      const late = Promise.withResolvers<never>()
      await expect(abortable(late.promise, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
      late.reject(new Error('late'))
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).toEqual([])
    } finally {
      process.off('unhandledRejection', note)
    }
  })
})
