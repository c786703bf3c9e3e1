import { expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import type { PowerState } from '../../../src/core/model.ts'
import type { DomainEntry } from '../../../src/domains/domain-entry.ts'
import { runningCount } from '../../../src/domains/running-count.ts'

test('counts what runs, and keeps the count while libvirt is away: guests go on', () => {
  let states: PowerState[] | undefined
  const count = runningCount({
    entries() {
      if (states === undefined) throw new AgentError('LIBVIRT_UNAVAILABLE', 'libvirt is away')
      return states.map((state) => ({ state }) as DomainEntry)
    },
  })
  expect(count()).toBe(0)
  states = ['RUNNING', 'STOPPED', 'RUNNING', 'PAUSED']
  expect(count()).toBe(2)
  states = undefined
  expect(count()).toBe(2)
  states = ['STOPPED']
  expect(count()).toBe(0)
})
