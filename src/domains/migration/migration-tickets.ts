import { randomBytes, timingSafeEqual } from 'node:crypto'
import { AgentError } from '../../core/errors.ts'
import type { MigrationTicket } from '../../core/model.ts'

const LIFE_MS = 10 * 60_000

/** Which VMs may come to this host: announced by PrepareMigration, let in by ReceiveMigration with its token, for ten minutes. In memory: an agent that was restarted is told anew. */
export class MigrationTickets {
  readonly #tickets = new Map<string, MigrationTicket & { readonly open: boolean }>()

  /** Another one takes the place of the one before. */
  announce(vmId: string): MigrationTicket {
    const ticket = { token: randomBytes(24).toString('base64url'), vmId, expiresAt: Date.now() + LIFE_MS }
    this.#sweep()
    this.#tickets.set(vmId, { ...ticket, open: false })
    return ticket
  }

  /** TICKET_INVALID when the token is not that of a VM that was announced. */
  receive(token: string, vmId: string): void {
    this.#sweep()
    const found = this.#tickets.get(vmId)
    const [given, wanted] = [Buffer.from(token), Buffer.from(found?.token ?? '')]
    if (found === undefined || given.length !== wanted.length || !timingSafeEqual(given, wanted))
      throw new AgentError(
        'TICKET_INVALID',
        `VM ${vmId}: the token is not that of an announced migration, or has expired; call PrepareMigration again`,
      )
    this.#tickets.set(vmId, { ...found, open: true })
  }

  isOpen(vmId: string): boolean {
    this.#sweep()
    return this.#tickets.get(vmId)?.open === true
  }

  /** It is used up. */
  use(vmId: string): void {
    this.#tickets.delete(vmId)
  }

  #sweep(): void {
    for (const [vmId, { expiresAt }] of this.#tickets) if (expiresAt <= Date.now()) this.#tickets.delete(vmId)
  }
}
