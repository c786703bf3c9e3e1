import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES } from '../../../src/core/error-code.ts'
import { AgentError, fromErrorRecord, toAgentError, toErrorRecord } from '../../../src/core/errors.ts'
import { REASONS } from '../../../src/core/reasons.ts'

describe('AgentError', () => {
  it('takes its code from the reason', () => {
    expect(new AgentError('POOL_FULL', 'x').code).toBe('RESOURCE_EXHAUSTED')
  })

  it('survives being persisted', () => {
    const error = new AgentError('CHECKSUM_MISMATCH', 'image x', { details: { expected: 'a' } })
    const copy = fromErrorRecord(JSON.parse(JSON.stringify(toErrorRecord(error))))
    expect(copy).toMatchObject({
      reason: error.reason,
      code: error.code,
      message: error.message,
      details: error.details,
    })
  })

  it('classifies what was not thrown by us', () => {
    expect(toAgentError(new DOMException('late', 'TimeoutError')).reason).toBe('DEADLINE_EXCEEDED')
    expect(toAgentError(new DOMException('gone', 'AbortError')).reason).toBe('CANCELLED')
    expect(toAgentError('text')).toMatchObject({ reason: 'INTERNAL', message: 'internal error: text' })
  })
})

describe('the table of reasons', () => {
  it('uses known codes and upper-snake names', () => {
    for (const [reason, info] of Object.entries(REASONS)) {
      expect(reason).toMatch(/^[A-Z][A-Z0-9_]*$/)
      expect(ERROR_CODES).toContain(info.code)
    }
  })

  it('never maps to NOT_FOUND or ALREADY_EXISTS where a control plane would misread it', () => {
    expect(Object.values(REASONS).some((info) => (info.code as string) === 'ALREADY_EXISTS')).toBe(false)
  })

  it('agrees with docs/errors.md in both directions', async () => {
    const page = await readFile('docs/errors.md', 'utf8')
    const documented = [...page.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map((match) => match[1])
    expect(documented.sort()).toEqual(Object.keys(REASONS).sort())
  })
})
