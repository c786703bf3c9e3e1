import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Bandwidth, type StoredRates } from '../../../src/images/bandwidth.ts'
import { PacedSink, TokenBucket } from '../../../src/images/paced-sink.ts'
import { rateShares } from '../../../src/images/rate-shares.ts'
import type { ByteSink } from '../../../src/platform/direct-socket.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'

const KIB = 1024
const claim = (jobId: string, poolId = '', bytesPerSecond = 0) => ({ jobId, poolId, bytesPerSecond })
const shares = (...args: Parameters<typeof rateShares>) => Object.fromEntries(rateShares(...args))

describe('rateShares', () => {
  it('limits nobody without limits', () => {
    expect(shares([claim('a'), claim('b')], { hostBytesPerSecond: 0, pools: {} })).toEqual({ a: 0, b: 0 })
  })
  it('divides the limit of the host evenly', () => {
    expect(shares([claim('a'), claim('b')], { hostBytesPerSecond: 100, pools: {} })).toEqual({ a: 50, b: 50 })
  })
  it('gives others what a limited one leaves', () => {
    const claims = [claim('a', '', 10), claim('b', 'p'), claim('c', 'p'), claim('d')]
    expect(shares(claims, { hostBytesPerSecond: 100, pools: { p: 40 } })).toEqual({ a: 10, b: 20, c: 20, d: 50 })
  })
  it('holds every limit at once', () => {
    const claims = [claim('a', 'p', 70), claim('b', 'p'), claim('c', 'q')]
    const limits = { hostBytesPerSecond: 90, pools: { p: 50, q: 80 } }
    const of = rateShares(claims, limits)
    const sum = (...ids: string[]) => ids.reduce((total, id) => total + (of.get(id) ?? NaN), 0)
    expect(sum('a', 'b')).toBeLessThanOrEqual(50)
    expect(sum('a', 'b', 'c')).toBeLessThanOrEqual(90)
    expect(of.get('c')).toBe(40)
  })
})

describe('Bandwidth', () => {
  it('tells running jobs of every change, and keeps what was set', async () => {
    const store = memoryCollection<StoredRates>()
    const bandwidth = new Bandwidth(store, { hostBytesPerSecond: 0, pools: {} })
    const told: Record<string, number[]> = { a: [], b: [] }
    const leaveA = await bandwidth.join('a', 'p', (share) => told['a']?.push(share))
    expect(told['a']).toEqual([])
    await bandwidth.setLimits({ hostBytesPerSecond: 1000 * KIB, pools: {} })
    const leaveB = await bandwidth.join('b', 'p', (share) => told['b']?.push(share))
    await bandwidth.limitJob('b', 100 * KIB)
    leaveA()
    await bandwidth.setLimits({ hostBytesPerSecond: 80 * KIB, pools: { p: 0 } })
    leaveB()
    expect(told).toEqual({
      a: [1000 * KIB, 500 * KIB, 900 * KIB],
      b: [500 * KIB, 100 * KIB, 80 * KIB],
    })
    const next = new Bandwidth(store, { hostBytesPerSecond: 5_000_000, pools: {} })
    await next.load()
    expect(next.limits()).toEqual({ hostBytesPerSecond: 80 * KIB, pools: {} })
    await next.join('b', 'p', (share) => expect(share).toBe(80 * KIB))
    await bandwidth.forget('b')
    expect(await store.get('b')).toBeUndefined()
  })
  it('refuses a limit that looks like a stall', async () => {
    const bandwidth = new Bandwidth(memoryCollection<StoredRates>(), { hostBytesPerSecond: 0, pools: {} })
    await expect(bandwidth.setLimits({ hostBytesPerSecond: 10, pools: {} })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    })
    await expect(bandwidth.limitJob('a', 65_535)).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
  })
})

describe('TokenBucket', () => {
  it('lets pass what the rate lets flow, whatever is asked in between', () => {
    let now = 0
    const bucket = new TokenBucket(() => now)
    bucket.setRate(1_000_000)
    let passed = 0
    for (; now < 10_000; now += 7) {
      const available = bucket.available()
      bucket.take(available)
      passed += available
    }
    expect(passed).toBeGreaterThan(9_800_000)
    expect(passed).toBeLessThanOrEqual(10_100_000)
  })
  it('makes later bytes wait for those that were too many, and forgets a limit at once', () => {
    const bucket = new TokenBucket(() => 0)
    bucket.setRate(100_000)
    bucket.take(1_000_000)
    expect(bucket.available()).toBe(0)
    expect(bucket.waitMs()).toBe(100)
    bucket.setRate(0)
    expect(bucket.available()).toBe(Infinity)
  })
})

describe('PacedSink', () => {
  it('offers memory again when it may go on', async () => {
    const memory = new Uint8Array(1024 * KIB)
    let got = 0
    const inner: ByteSink = {
      onSpace: undefined,
      space: () => memory,
      advance: (bytes) => void (got += bytes),
      write: (chunk) => ((got += chunk.length), true),
    }
    const bucket = new TokenBucket()
    bucket.setRate(1000 * KIB)
    const sink = new PacedSink(inner, bucket)
    const started = performance.now()
    sink.onSpace = () => {
      for (let space = sink.space(); space !== undefined && got < 500 * KIB; space = sink.space())
        sink.advance(space.length)
    }
    expect(sink.write(new Uint8Array(10))).toBe(false)
    while (got < 500 * KIB) await pause(5)
    sink.onSpace = undefined
    expect(performance.now() - started).toBeGreaterThan(300)
  })
})
