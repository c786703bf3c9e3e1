import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { AgentError } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'

/** What a ticket is good for. */
export interface TicketUse {
  readonly vmId: string
  readonly kind: 'vnc' | 'serial'
  /** Take the console from whoever has it. */
  readonly force: boolean
}

interface Ticket extends TicketUse {
  readonly digest: Buffer
  readonly goodUntil: number
}

/** How long a ticket is good. */
export const TICKET_LIFE_MS = 30_000
const MAX_TICKETS = 1000

/** Tickets for one console connection each. They live in memory only: after a restart of the agent there are none. */
export class ConsoleTickets {
  readonly #tickets = new Map<string, Ticket>()
  readonly #now: () => number

  constructor(now: () => number = monotonicMs) {
    this.#now = now
  }

  /** A new ticket, unguessable. CONSOLE_LIMIT when a thousand are out. */
  issue(use: TicketUse): string {
    const now = this.#now()
    for (const [id, { goodUntil }] of this.#tickets) if (goodUntil <= now) this.#tickets.delete(id)
    if (this.#tickets.size >= MAX_TICKETS)
      throw new AgentError('CONSOLE_LIMIT', `${MAX_TICKETS} console tickets are out; wait ${TICKET_LIFE_MS / 1000} s`)
    const id = randomBytes(9).toString('base64url')
    const secret = randomBytes(32).toString('base64url')
    this.#tickets.set(id, { ...use, digest: digestOf(secret), goodUntil: now + TICKET_LIFE_MS })
    return `${id}.${secret}`
  }

  /** What the ticket is good for; it is used up by that, also when it was presented for another VM. TICKET_INVALID. */
  redeem(text: string, vmId: string): TicketUse {
    const [id = '', secret = ''] = text.split('.')
    const ticket = this.#tickets.get(id)
    // The same work for every wrong one.
    const matches = timingSafeEqual(digestOf(secret), ticket?.digest ?? digestOf(`${secret}x`))
    if (ticket === undefined || !matches) throw invalid()
    this.#tickets.delete(id)
    if (ticket.vmId !== vmId || ticket.goodUntil <= this.#now()) throw invalid()
    return { vmId, kind: ticket.kind, force: ticket.force }
  }
}

const digestOf = (secret: string) => createHash('sha256').update(secret).digest()

// Which of these it was is nobody's business who has no good one.
function invalid(): AgentError {
  return new AgentError('TICKET_INVALID', 'the console ticket is unknown, used up, expired, or that of another VM')
}
