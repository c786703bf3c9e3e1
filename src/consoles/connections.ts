import { AgentError } from '../core/errors.ts'

/** How many console connections there may be, those that are only offered included. */
export interface ConnectionLimits {
  readonly maxTotal: number
  /** Of one VM; default 8. */
  readonly maxPerVm?: number
}

interface Connection {
  readonly vmId: string
  readonly end: (why: string) => void
}

/** The console connections of this host: how many there are, and how they end with their VM and with the agent. */
export class ConsoleConnections {
  readonly #limits: ConnectionLimits
  readonly #open = new Set<Connection>()
  #closed = false

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  /** Adds one that `end` closes; returns how to take it out again, true when it was still in. Errors: CONSOLE_LIMIT, SHUTTING_DOWN. */
  add(vmId: string, end: (why: string) => void): () => boolean {
    const { maxTotal, maxPerVm = 8 } = this.#limits
    const ofVm = [...this.#open].filter((each) => each.vmId === vmId).length
    if (this.#closed) throw new AgentError('SHUTTING_DOWN', 'the agent is stopping')
    if (this.#open.size >= maxTotal || ofVm >= maxPerVm) {
      const what = ofVm >= maxPerVm ? `VM ${vmId} has ${ofVm}` : `this host has ${this.#open.size}`
      throw new AgentError('CONSOLE_LIMIT', `${what} open console connections, which is the limit; close one first`)
    }
    const connection = { vmId, end }
    this.#open.add(connection)
    return () => this.#open.delete(connection)
  }

  /** VMs with a connection. */
  vms(): ReadonlySet<string> {
    return new Set([...this.#open].map(({ vmId }) => vmId))
  }

  /** Ends those of one VM. */
  closeOf(vmId: string): void {
    for (const each of [...this.#open]) if (each.vmId === vmId) each.end('the VM does not run any more')
  }

  /** Ends all of them for good. */
  close(): void {
    this.#closed = true
    for (const each of [...this.#open]) each.end('the agent stops')
  }
}
