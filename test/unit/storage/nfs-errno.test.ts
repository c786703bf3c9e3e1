import { expect, test } from 'vitest'
import { errnoOf, poolError } from '../../../src/storage/worker/errno.ts'

// What Node throws for errors that libuv has no name for.
const unnamed = (errno: number) =>
  Object.assign(new Error(`Unknown system error ${errno}, open`), { code: `Unknown system error ${errno}`, errno })

test.each([
  [-116, 'ESTALE', 'POOL_STALE'],
  [-122, 'EDQUOT', 'POOL_FULL'],
])('errno %i is %s, which libuv does not know by name', (errno, name, reason) => {
  expect(errnoOf(unnamed(errno))).toBe(name)
  expect(poolError(unnamed(errno), 'x').reason).toBe(reason)
})

test('what nobody knows keeps its number', () => {
  expect(poolError(unnamed(-4000), 'x')).toMatchObject({
    reason: 'POOL_IO_ERROR',
    message: expect.stringContaining('-4000') as string,
  })
})
