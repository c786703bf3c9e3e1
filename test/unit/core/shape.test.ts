import { describe, expect, it } from 'vitest'
import { isEither, isFilled, isListOf, isOneOf, isShape, isText, parseShape } from '../../../src/core/shape.ts'

const isPoint = isShape<{ kind: 'point'; tags: string[] }>({ kind: isOneOf(['point']), tags: isListOf(isText) })

describe('shapes', () => {
  it('accept what fits, further fields included', () => {
    expect(parseShape('{"kind":"point","tags":["a"],"more":1}', isPoint)).toMatchObject({ kind: 'point', tags: ['a'] })
  })

  it.each([
    '',
    '{',
    'null',
    '[]',
    '"x"',
    '{}',
    '{"kind":"line","tags":[]}',
    '{"kind":"point","tags":[1]}',
    '{"kind":"point","tags":"a"}',
  ])('refuse %j', (text) => {
    expect(parseShape(text, isPoint)).toBeUndefined()
  })

  it('combine', () => {
    const check = isEither(isFilled, isOneOf([1, 2]))
    expect([check('a'), check(2), check(''), check(3), check(undefined)]).toEqual([true, true, false, false, false])
  })
})
