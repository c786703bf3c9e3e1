import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recoverAndLink } from '../../../src/app/recover-and-link.ts'
import { silentLogger } from '../../../src/core/context.ts'

const PATIENCE_MS = 20_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function setUp() {
  const recovery = Promise.withResolvers<void>()
  const firstLook = Promise.withResolvers<void>()
  const stopping = new AbortController()
  const startLink = vi.fn()
  const error = vi.fn()
  const agent = { recover: () => recovery.promise, firstLook: () => firstLook.promise, startLink }
  const done = recoverAndLink(agent, stopping.signal, { ...silentLogger, error })
  return { recovery, firstLook, stopping, startLink, error, done }
}

describe('the start of the link to the control plane', () => {
  it('follows the recovery and the first look at the pools', async () => {
    const { recovery, firstLook, startLink, done } = setUp()
    recovery.resolve()
    await vi.advanceTimersByTimeAsync(1)
    expect(startLink).not.toHaveBeenCalled()
    firstLook.resolve()
    await done
    expect(startLink).toHaveBeenCalledOnce()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('waits no longer than 20 s for a recovery that hangs', async () => {
    const { recovery, firstLook, startLink, done } = setUp()
    firstLook.resolve()
    await vi.advanceTimersByTimeAsync(PATIENCE_MS - 1)
    expect(startLink).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(startLink).toHaveBeenCalledOnce()
    recovery.resolve()
    await done
    expect(startLink).toHaveBeenCalledOnce()
  })

  it('comes also when the recovery fails, which is logged', async () => {
    const { recovery, firstLook, startLink, error, done } = setUp()
    firstLook.resolve()
    recovery.reject(new Error('the journal is broken'))
    await done
    expect(startLink).toHaveBeenCalledOnce()
    expect(error).toHaveBeenCalledWith({ err: 'the journal is broken' }, expect.stringContaining('recovery failed'))
  })

  it('does not come when the agent is stopped before', async () => {
    const { recovery, firstLook, stopping, startLink, done } = setUp()
    stopping.abort()
    recovery.resolve()
    firstLook.resolve()
    await done
    expect(startLink).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })
})
