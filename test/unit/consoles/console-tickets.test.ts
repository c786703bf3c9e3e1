import { expect, test } from 'vitest'
import { ConsoleTickets, TICKET_LIFE_MS } from '../../../src/consoles/console-tickets.ts'

const VM = '11111111-2222-4333-8444-555555555555'
const use = { vmId: VM, kind: 'serial', force: true } as const
const invalid = expect.objectContaining({ reason: 'TICKET_INVALID' })

test('is good once, for what it was given for', () => {
  const tickets = new ConsoleTickets()
  const ticket = tickets.issue(use)
  expect(tickets.redeem(ticket, VM)).toEqual(use)
  expect(() => tickets.redeem(ticket, VM)).toThrow(invalid)
})

test('is used up by the attempt to use it for another VM', () => {
  const tickets = new ConsoleTickets()
  const ticket = tickets.issue(use)
  expect(() => tickets.redeem(ticket, 'another')).toThrow(invalid)
  expect(() => tickets.redeem(ticket, VM)).toThrow(invalid)
})

test('a wrong secret, or none, is refused and uses nothing up', () => {
  const tickets = new ConsoleTickets()
  const ticket = tickets.issue(use)
  const [id] = ticket.split('.')
  for (const wrong of ['', '.', id ?? '', `${id}.`, `${ticket}x`, ticket.slice(0, -1), `x${ticket}`, 'a.b.c']) {
    expect(() => tickets.redeem(wrong, VM), wrong).toThrow(invalid)
  }
  expect(tickets.redeem(ticket, VM)).toEqual(use)
})

test('ends after 30 s', () => {
  let now = 1000
  const tickets = new ConsoleTickets(() => now)
  const [first, second] = [tickets.issue(use), tickets.issue(use)]
  now += TICKET_LIFE_MS - 1
  expect(tickets.redeem(first, VM)).toEqual(use)
  now += 1
  expect(() => tickets.redeem(second, VM)).toThrow(invalid)
})

test('there are at most a thousand; expired ones make room', () => {
  let now = 0
  const tickets = new ConsoleTickets(() => now)
  const all = new Set(Array.from({ length: 1000 }, () => tickets.issue(use)))
  expect(all.size).toBe(1000)
  expect(() => tickets.issue(use)).toThrow(expect.objectContaining({ reason: 'CONSOLE_LIMIT' }))
  now += TICKET_LIFE_MS
  tickets.issue(use)
})
