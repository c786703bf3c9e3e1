import { z } from 'zod'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { connectCode, type ConnectClient } from '../platform/connect-client.ts'
import type { ToldHost } from './registration.ts'

export interface NameWatchOptions {
  readonly client: ConnectClient
  /** What the control plane was told with the last registration; undefined before. */
  readonly told: () => ToldHost | undefined
  readonly log: Logger
}

const GET_NODE = 'limiquantix.compute.v1.NodeService/GetNode'
const TIMEOUT_MS = 10_000
/** Every so many answers to heartbeats: five minutes at the usual interval. */
const EVERY = 10

const nodeRecord = z.object({ managementIp: z.string().default('') })

/**
 * Notices that another host registered under the host name of this one: the record that both share then has the other's address, and the control plane reaches only that one. Said
 * in the log, once for each address; nothing else is done, as to register again would only take the record back. A control plane that does not know the call is not asked again.
 */
export class NameWatch {
  readonly #options: NameWatchOptions
  readonly #stopping = new AbortController()
  readonly #said = new Set<string>()
  #answers = 0
  #unsupported = false
  #asking: Promise<void> | undefined

  constructor(options: NameWatchOptions) {
    this.#options = options
  }

  /** Takes note of an answer to a heartbeat; returns at once. */
  answered(nodeId: string): void {
    if (this.#unsupported || ++this.#answers % EVERY !== 0) return
    this.#asking ??= this.#ask(nodeId).finally(() => (this.#asking = undefined))
  }

  /** Another registration, perhaps at another control plane version: what was not known may be by now. */
  registered(): void {
    this.#unsupported = false
    this.#answers = 0
  }

  /** Resolves when nobody is being asked. */
  async settled(): Promise<void> {
    await this.#asking
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.settled()
  }

  // Never rejects.
  async #ask(nodeId: string): Promise<void> {
    const { client, told, log } = this.#options
    try {
      const { signal } = this.#stopping
      const record = await client.call(GET_NODE, { id: nodeId }, nodeRecord, { signal, timeoutMs: TIMEOUT_MS })
      const own = told()
      const other = record.managementIp.replace(/\/\d+$/, '')
      if (own === undefined || other === '' || other === own.managementIp) return
      if (this.#said.has(other)) return
      this.#said.add(other)
      log.error(
        { hostname: own.hostname, own: own.managementIp, other },
        'another host is registered under the name of this one, so the control plane does not reach this one; give each host a name of its own (node.hostname)',
      )
    } catch (error) {
      if (connectCode(error) === 'unimplemented') this.#unsupported = true
      log.debug({ err: errorText(error) }, 'the control plane does not tell whose record this is')
    }
  }
}
