import { expect, test } from 'vitest'
import { Reservations } from '../../../src/storage/reservations.ts'

test('two jobs are not promised the same bytes', () => {
  const space = new Reservations()
  space.take('a', 60, 100, 'job 1')
  expect(() => space.take('a', 60, 100, 'job 2')).toThrow(expect.objectContaining({ reason: 'POOL_FULL' }))
  space.take('b', 60, 100, 'job 3')
})

test('a refusal has the numbers', () => {
  const space = new Reservations()
  space.take('a', 1024, 4096, 'job 1')
  expect(() => space.take('a', 4096, 4096, 'job 2')).toThrow(
    /4\.0 KiB left, 1\.0 KiB of them promised.*4\.0 KiB are needed/,
  )
})

test('what is released is free again, once', () => {
  const space = new Reservations()
  const first = space.take('a', 60, 100, 'job 1')
  space.take('a', 40, 100, 'job 2')
  first.release()
  first.release()
  expect(space.reservedBytes('a')).toBe(40)
  space.take('a', 60, 100, 'job 3')
  expect(space.purposes('a')).toEqual(['job 2', 'job 3'])
})
