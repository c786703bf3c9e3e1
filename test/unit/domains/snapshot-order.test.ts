import { expect, test } from 'vitest'
import { oldestFirst } from '../../../src/domains/snapshot-order.ts'

const snapshot = (id: string, parentId: string, second: number) => ({ id, parentId, createdAt: second * 1000 })
const permutations = <T>(all: readonly T[]): T[][] =>
  all.length < 2
    ? [[...all]]
    : all.flatMap((first, at) => permutations(all.toSpliced(at, 1)).map((rest) => [first, ...rest]))
const orders = (all: Parameters<typeof oldestFirst>[0]) =>
  new Set(
    permutations(all).map((given) =>
      oldestFirst(given)
        .map(({ id }) => id)
        .join(' '),
    ),
  )

test('snapshots come oldest first, whatever they are called and hang on', () => {
  expect(orders([snapshot('c', '', 1), snapshot('b', 'c', 2), snapshot('a', 'c', 3)])).toEqual(new Set(['c b a']))
  expect(orders([snapshot('root', '', 3), snapshot('late', 'root', 4), snapshot('alone', '', 2)])).toEqual(
    new Set(['alone root late']),
  )
})

test('of one second, parents come before their children, then they go by name', () => {
  expect(orders([snapshot('z', '', 7), snapshot('y', 'z', 7), snapshot('x', 'y', 7), snapshot('w', 'y', 7)])).toEqual(
    new Set(['z y w x']),
  )
})

test('a parent that is not there, and one that is its own, are no obstacle', () => {
  expect(orders([snapshot('b', 'gone', 7), snapshot('a', 'a', 7)])).toHaveLength(1)
  expect(orders([snapshot('b', 'a', 7), snapshot('a', 'b', 7), snapshot('c', '', 6)])).toEqual(new Set(['c a b']))
})
