import { errorText } from '../core/errors.ts'
import type { Connection } from './connection.ts'
import { LibvirtError, LibvirtGone } from './errors.ts'
import { type EventFamily, type EventName, type EventPayload, EVENTS, FAMILY_OF_MESSAGE } from './event-names.ts'
import { callOn } from './open-connection.ts'

const REGISTER_TIMEOUT_MS = 30_000
const MAX_PARKED = 256

type Listener = (payload: never) => void

/** Calls that the daemon's messages cause must not throw; what they throw goes here. */
export type WarningSink = (text: string) => void

/**
 * Shares one registration per event among any number of listeners, and makes the registrations again on every new connection, where they get new
 * ids. Ids are unique only within a family.
 */
export class EventRegistry {
  readonly #warn: WarningSink
  readonly #listeners = new Map<EventName, Set<Listener>>()
  readonly #idByEvent = new Map<EventName, number>()
  readonly #eventById = new Map<string, EventName>()
  #connection: Connection | undefined
  // Registering and deregistering one event must not cross; they are rare, so all take turns.
  #turn: Promise<void> = Promise.resolve()
  #registering = 0
  #parked: { key: string; message: object }[] = []

  constructor(warn: WarningSink) {
    this.#warn = warn
  }

  /** Adds a listener and resolves once the daemon knows (at once when there is no connection: `attach` registers later). */
  async subscribe<E extends EventName>(
    event: E,
    listener: (payload: EventPayload<E>) => void,
  ): Promise<() => Promise<void>> {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners)
    // The same function may subscribe twice; each subscription is its own.
    const own: Listener = (payload) => listener(payload)
    listeners.add(own)
    try {
      await this.#settle(event)
    } catch (error) {
      listeners.delete(own)
      throw error
    }
    return async () => {
      listeners.delete(own)
      await this.#settle(event)
    }
  }

  /** Registers all events on a new connection. */
  async attach(connection: Connection): Promise<void> {
    this.detach()
    this.#connection = connection
    await this.#inTurn(async () => {
      for (const event of this.#listeners.keys()) await this.#reattach(event)
    })
  }

  /** Forgets the registrations of a connection that is gone. */
  detach(): void {
    this.#connection = undefined
    this.#idByEvent.clear()
    this.#eventById.clear()
    this.#parked = []
  }

  /** Takes one message from the connection. A message may overtake the reply that tells its id, so unknown ones are parked meanwhile. */
  dispatch(name: string, message: unknown): void {
    const family = FAMILY_OF_MESSAGE.get(name)
    if (family === undefined) return
    const body = message as { readonly callbackID: number }
    const key = `${family}:${body.callbackID}`
    const event = this.#eventById.get(key)
    if (event !== undefined) this.#deliver(event, body)
    else if (this.#registering > 0 && this.#parked.length < MAX_PARKED) this.#parked.push({ key, message: body })
  }

  /** Reconciles one event; a connection that breaks meanwhile does not matter, since the next one is given all that is wanted by then. */
  async #settle(event: EventName): Promise<void> {
    try {
      await this.#inTurn(() => this.#reconcile(event))
    } catch (error) {
      if (!(error instanceof LibvirtGone)) throw error
    }
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => {
      // The one who asked gets the error; the next in the queue goes on.
    })
    await mine
  }

  /** A daemon that was replaced by another version may lack an event: that must not keep the agent from connecting. */
  async #reattach(event: EventName): Promise<void> {
    try {
      await this.#reconcile(event)
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error
      this.#warn(`libvirt refused to send ${event}: ${error.message}`)
    }
  }

  /** Makes the daemon's side fit: registered exactly when there are listeners. */
  async #reconcile(event: EventName): Promise<void> {
    const connection = this.#connection
    if (connection === undefined) return
    const { family } = EVENTS[event]
    const wanted = (this.#listeners.get(event)?.size ?? 0) > 0
    const id = this.#idByEvent.get(event)
    if (wanted && id === undefined) {
      this.#registering++
      try {
        const callbackId = await register(connection, event)
        if (connection !== this.#connection) return
        this.#idByEvent.set(event, callbackId)
        this.#eventById.set(`${family}:${callbackId}`, event)
      } finally {
        this.#registering--
        this.#unpark()
      }
    } else if (!wanted && id !== undefined) {
      this.#idByEvent.delete(event)
      this.#eventById.delete(`${family}:${id}`)
      await deregister(connection, family, id)
    }
  }

  #unpark(): void {
    const parked = this.#parked
    this.#parked = []
    for (const { key, message } of parked) {
      const event = this.#eventById.get(key)
      if (event !== undefined) this.#deliver(event, message)
      else if (this.#registering > 0) this.#parked.push({ key, message })
    }
  }

  #deliver(event: EventName, message: object): void {
    const payload = 'msg' in message ? message.msg : message
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(payload as never)
      } catch (error) {
        this.#warn(`a listener of ${event} failed: ${errorText(error)}`)
      }
    }
  }
}

async function register(connection: Connection, event: EventName): Promise<number> {
  const { family, eventId: eventID } = EVENTS[event]
  const timeoutMs = REGISTER_TIMEOUT_MS
  switch (family) {
    case 'domain':
      return (
        await callOn(connection, 'remote:CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', { eventID, dom: null }, timeoutMs)
      ).callbackID
    case 'network':
      return (await callOn(connection, 'remote:CONNECT_NETWORK_EVENT_REGISTER_ANY', { eventID, net: null }, timeoutMs))
        .callbackID
    case 'pool':
      return (
        await callOn(connection, 'remote:CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY', { eventID, pool: null }, timeoutMs)
      ).callbackID
    case 'nodedev':
      return (
        await callOn(connection, 'remote:CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY', { eventID, dev: null }, timeoutMs)
      ).callbackID
    case 'secret':
      return (
        await callOn(connection, 'remote:CONNECT_SECRET_EVENT_REGISTER_ANY', { eventID, secret: null }, timeoutMs)
      ).callbackID
    case 'qemu':
      return (
        await callOn(
          connection,
          'qemu:CONNECT_DOMAIN_MONITOR_EVENT_REGISTER',
          { dom: null, event: null, flags: 0 },
          timeoutMs,
        )
      ).callbackID
  }
}

const DEREGISTER = {
  domain: 'remote:CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY',
  network: 'remote:CONNECT_NETWORK_EVENT_DEREGISTER_ANY',
  pool: 'remote:CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY',
  nodedev: 'remote:CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY',
  secret: 'remote:CONNECT_SECRET_EVENT_DEREGISTER_ANY',
  qemu: 'qemu:CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER',
} as const satisfies Record<EventFamily, string>

async function deregister(connection: Connection, family: EventFamily, callbackID: number): Promise<void> {
  await callOn(connection, DEREGISTER[family], { callbackID }, REGISTER_TIMEOUT_MS)
}
