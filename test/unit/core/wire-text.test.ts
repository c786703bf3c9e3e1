import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { REASONS, type Reason } from '../../../src/core/reasons.ts'
import { neutralise, wireText } from '../../../src/core/wire-text.ts'

const TRIGGERS = [
  'already',
  'exists',
  'not found',
  'NotFound',
  'no mount path',
  'failed_precondition',
  'nodomain',
  'Domain not found',
  'VM not found',
]

describe('wireText', () => {
  it.each(TRIGGERS)('replaces %j wherever tools and kernels put it', (word) => {
    for (const text of [word, `mkdir: File ${word}.`, `x${word}y`, word.toUpperCase(), `${word} ${word}`]) {
      expect(neutralise(text).toLowerCase()).not.toContain(word.toLowerCase())
    }
  })

  it('keeps the words where they are the meaning', () => {
    expect(wireText(new AgentError('VM_NOT_FOUND', 'VM not found: 6f'))).toBe('VM not found: 6f')
    expect(wireText(new AgentError('POOL_NOT_FOUND', 'pool 6f not found on this host'))).toBe(
      'pool 6f not found on this host',
    )
  })

  it('does not let other words through behind the meant ones', () => {
    expect(wireText(new AgentError('VM_NOT_FOUND', 'VM not found: 6f already exists'))).toBe(
      'VM not found: 6f now is present',
    )
  })

  it('finds no reason but these two whose message may carry a trigger', () => {
    const passing = Object.keys(REASONS).filter((reason) =>
      ['VM not found: x', 'pool x not found'].some((text) =>
        /not found/.test(wireText(new AgentError(reason as Reason, text))),
      ),
    )
    expect(passing.sort()).toEqual(['POOL_NOT_FOUND', 'VM_NOT_FOUND'])
  })
})
