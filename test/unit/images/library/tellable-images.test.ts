import { afterEach, expect, test, vi } from 'vitest'
import type { LibraryImage } from '../../../../src/core/model.ts'
import type { ImageLibrary } from '../../../../src/images/library/image-library.ts'
import { TellableImages } from '../../../../src/images/library/tellable-images.ts'
import type { OperationRecord } from '../../../../src/operations/operation.ts'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const HOUR = 60 * 60_000
const image = { id: 'i', path: '/srv/pool/a.qcow2', checksum: 'sha256:0', format: 'qcow2' } as LibraryImage

function tellable(finishedAt: number): TellableImages {
  const job = {
    id: 'job',
    state: 'completed',
    finishedAt,
    locks: [`image:${image.path}`],
  } as unknown as OperationRecord
  const library = {
    images: () => [image],
    states: () => [{ place: { name: 'p', shared: false }, images: [image] }],
    changed: () => undefined,
  } as unknown as ImageLibrary
  return new TellableImages(library, { list: () => [job] })
}

afterEach(() => vi.useRealTimers())

test('a finished download waits until the one who asked for it has heard of its end, and could write it down', () => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: NOW })
  const images = tellable(NOW)
  expect(images.list()).toEqual([])
  images.heard('job')
  vi.advanceTimersByTime(2_999)
  expect(images.list()).toEqual([])
  images.heard('job')
  vi.advanceTimersByTime(1)
  expect(images.list()).toHaveLength(1)
})

test('one that nobody asks after is told after ten minutes', () => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: NOW })
  const images = tellable(NOW)
  expect(images.list()).toEqual([])
  vi.advanceTimersByTime(10 * 60_000 - 1)
  expect(images.list()).toEqual([])
  vi.advanceTimersByTime(1)
  expect(images.list()).toHaveLength(1)
})

test.each([HOUR, -HOUR])('a jump of the wall clock by %i ms does not end the wait', (jumpMs) => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW })
  const images = tellable(NOW)
  expect(images.list()).toEqual([])
  vi.setSystemTime(NOW + jumpMs)
  expect(images.list()).toEqual([])
})
