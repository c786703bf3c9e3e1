import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { poolFull, withNumbers } from '../../../src/storage/full-pool.ts'

const GIB = 2 ** 30
const place = { name: 'pool p1', usedBytes: 9 * GIB, availableBytes: GIB, totalBytes: 10 * GIB }
const write = { what: 'volume web', neededBytes: 4 * GIB }

test('says what is held, left and needed, and of which pool', () => {
  const { message, details } = poolFull(place, write)
  expect(message).toBe(
    'pool p1 is full: it holds 9.0 GiB of 10.0 GiB, 1.0 GiB are left, and volume web needs 4.0 GiB; free space, or add space to it',
  )
  expect(details).toEqual({
    usedBytes: String(9 * GIB),
    availableBytes: String(GIB),
    totalBytes: String(10 * GIB),
    neededBytes: String(4 * GIB),
  })
})

test('a need that is not known, or turned out to be more than was known, is only more than is left', () => {
  expect(poolFull(place, { what: 'volume web' }).message).toContain('and volume web needs more; free')
  expect(poolFull(place, { ...write, neededBytes: GIB }).message).toContain('and volume web needs more; free')
})

test('a quota is named: with its size where that is known', () => {
  const { totalBytes: _, ...unlimited } = place
  expect(
    poolFull({ ...unlimited, holder: 'Ceph pool rbd', quotaBytes: 10 * GIB, remedy: 'raise it' }, write),
  ).toMatchObject({
    message: expect.stringMatching(
      /: Ceph pool rbd holds 9.0 GiB of its quota of 10.0 GiB, .*; free space, or raise it$/,
    ) as string,
    details: { quotaBytes: String(10 * GIB) },
  })
  const refused = new AgentError('POOL_FULL', 'x', { details: { errno: 'EDQUOT' } })
  expect(poolFull(place, write, refused).message).toMatch(
    /^pool p1 is full: its quota is used up; .* or raise the quota$/,
  )
})

test('what is kept for guests is told with what is left', () => {
  const kept = new AgentError('POOL_FULL', 'x', { details: { keptBytes: String(GIB) } })
  expect(poolFull(place, write, kept).message).toContain('1.0 GiB are left with the last 1.0 GiB kept for guests, and')
})

test('numbers come to an error once, and only to one of a full pool', async () => {
  const explained = (error: unknown, look = () => Promise.resolve([place, write] as const)) =>
    withNumbers(error, look, { log: silentLogger })
  const bare = new AgentError('POOL_FULL', 'no numbers')
  const full = await explained(bare)
  expect(full).toMatchObject({ reason: 'POOL_FULL', cause: bare, details: { availableBytes: String(GIB) } })
  expect(await explained(full)).toBe(full)
  const other = new AgentError('POOL_IO_ERROR', 'EIO')
  expect(await explained(other)).toBe(other)
  expect(await explained(bare, () => Promise.reject(new Error('gone')))).toBe(bare)
})
