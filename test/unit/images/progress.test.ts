import { describe, expect, it } from 'vitest'
import { downloadJobView, type DownloadRecord } from '../../../src/images/job-view.ts'
import { RateMeter } from '../../../src/images/rate-meter.ts'
import { StallClock } from '../../../src/images/stall-clock.ts'
import { TransferSlots } from '../../../src/images/transfer-slots.ts'

describe('StallClock', () => {
  const clockAt = () => {
    let now = 0
    const clock = new StallClock(1000, () => now)
    const check = (at: number, bytesReceived: number, bytesDurable: number, receiving: boolean) => () => {
      now = at
      clock.check({ bytesReceived, bytesDurable }, receiving)
    }
    return check
  }
  const stalled = (text: string) =>
    expect.objectContaining({ reason: 'DOWNLOAD_STALLED', message: expect.stringContaining(text) as string }) as Error

  it('stops when no byte arrives, however often it is asked', () => {
    const check = clockAt()
    check(500, 10, 0, true)()
    check(1499, 10, 0, true)()
    expect(check(1500, 10, 0, true)).toThrow(stalled('no byte arrived'))
  })
  it('lets a slow server drip for ever', () => {
    const check = clockAt()
    for (let at = 900; at < 100_000; at += 900) check(at, at, 0, true)()
  })
  it('does not blame the server while the disk is the one that is waited for', () => {
    const check = clockAt()
    check(500, 10, 0, false)()
    check(900, 10, 5, false)()
    check(1800, 10, 6, false)()
    expect(check(2800, 10, 6, false)).toThrow(stalled('no byte became durable'))
  })
  it('does not blame the disk for bytes that waited for a full chunk while the server dripped', () => {
    const check = clockAt()
    for (let at = 250; at < 5_000; at += 250) check(at, at, 0, true)()
    check(5_100, 5_000, 0, false)()
    check(5_700, 5_000, 0, false)()
    expect(check(5_800, 5_000, 0, false)).toThrow(stalled('no byte became durable'))
  })
  it('blames nobody for the time in which this process did not run', () => {
    let now = 0
    const clock = new StallClock(1_500, () => now)
    clock.check({ bytesReceived: 10, bytesDurable: 0 }, true)
    now = 60_000
    clock.check({ bytesReceived: 10, bytesDurable: 0 }, true)
    now = 60_500
    expect(() => clock.check({ bytesReceived: 10, bytesDurable: 0 }, true)).toThrow(stalled('no byte arrived'))
  })
  it('gives the server its full time again after the disk was slow', () => {
    const check = clockAt()
    check(900, 10, 5, false)()
    check(1800, 10, 10, true)()
    expect(check(2000, 10, 10, true)).toThrow(stalled('no byte arrived'))
  })
})

describe('RateMeter', () => {
  it('is the mean of the last ten seconds', () => {
    let now = 0
    const meter = new RateMeter(() => now)
    expect(meter.bytesPerSecond()).toBe(0)
    for (now = 0; now <= 20_000; now += 1000) meter.update(now <= 10_000 ? 0 : (now - 10_000) * 2)
    expect(meter.bytesPerSecond()).toBe(2000)
  })
})

describe('TransferSlots', () => {
  it('lets as many run as there are, the rest in order', async () => {
    const slots = new TransferSlots(1)
    const { signal } = new AbortController()
    const order: string[] = []
    const first = await slots.acquire(signal)
    const second = slots.acquire(signal).then((release) => (order.push('second'), release))
    const third = slots.acquire(signal).then((release) => (order.push('third'), release))
    await Promise.resolve()
    expect(order).toEqual([])
    first()
    ;(await second)()
    ;(await third)()
    expect(order).toEqual(['second', 'third'])
  })
  it('forgets a waiter that gave up', async () => {
    const slots = new TransferSlots(1)
    const release = await slots.acquire(new AbortController().signal)
    const stop = new AbortController()
    const waiting = slots.acquire(stop.signal)
    stop.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    release()
    await slots.acquire(new AbortController().signal)
  })
})

describe('downloadJobView', () => {
  const record: DownloadRecord = {
    id: 'job-1',
    kind: 'image.download',
    subject: 'image a',
    locks: [],
    params: {
      imageId: 'i',
      catalogId: 'c',
      url: 'https://a.example/x',
      poolId: 'p',
      requestedPoolId: 'p',
      base: '/pool',
      directory: '/pool/cloud-images',
      fileName: 'c.qcow2',
    },
    state: 'running',
    createdAt: 1,
    startedAt: 2,
  }
  it('has whole percents and an estimate', () => {
    const view = downloadJobView(
      { ...record, progress: { phase: 'downloading', bytesDone: 1000, bytesTotal: 3000 } },
      300,
    )
    expect(view).toMatchObject({ percent: 33, bytesPerSecond: 300, etaSeconds: 7, phase: 'downloading', startedAt: 2 })
    expect(view.targetPath).toBe('/pool/cloud-images/c.qcow2')
  })
  it('says 99 until the image is in place, and 0 while the length is unknown', () => {
    const at = (bytesTotal?: number) =>
      downloadJobView(
        { ...record, progress: { phase: 'verifying', bytesDone: 3000, ...(bytesTotal ? { bytesTotal } : {}) } },
        0,
      )
    expect(at(3000)).toMatchObject({ percent: 99, phase: 'verifying', etaSeconds: 0 })
    expect(at()).toMatchObject({ percent: 0, bytesDone: 3000, bytesTotal: 0 })
  })
  it('counts the whole file when completed, also when nothing was fetched', () => {
    const result = { sizeBytes: 42, format: 'raw', virtualSizeBytes: 42, digests: {}, reused: true } as const
    expect(downloadJobView({ ...record, state: 'completed', result, finishedAt: 9 }, 5)).toMatchObject({
      percent: 100,
      bytesDone: 42,
      bytesTotal: 42,
      bytesPerSecond: 0,
      phase: 'done',
      finishedAt: 9,
    })
  })
  it('carries the error of a failed job', () => {
    const error = { code: 'UNAVAILABLE', reason: 'DOWNLOAD_CONNECT', message: 'broke', details: {} } as const
    expect(downloadJobView({ ...record, state: 'failed', error }, 0)).toMatchObject({
      errorMessage: 'broke',
      phase: 'done',
    })
  })
})
