import type { Connection, ConnectionHandlers } from './connection.ts'
import { isUnsupported } from './errors.ts'
import { Lanes, type LaneSizes } from './lanes.ts'
import { callOn, type OpenOptions, openConnection } from './open-connection.ts'

const CLOSED_EVENT = 'remote:CONNECT_EVENT_CONNECTION_CLOSED'

/** What a session hands on from its event connection. */
export interface SessionHandlers {
  onEvent(name: string, message: unknown): void
  onWarning(text: string): void
}

/** The connections of one life of the daemon. It ends with its event connection; a lane's connection that breaks alone is replaced. */
export class Session {
  readonly eventConnection: Connection
  readonly lanes: Lanes
  readonly libVersion: number
  /** Resolves to the reason when the session is over. */
  readonly ended: Promise<Error>
  readonly #end: AbortController

  private constructor(
    eventConnection: Connection,
    lanes: Lanes,
    libVersion: number,
    ended: Promise<Error>,
    end: AbortController,
  ) {
    this.eventConnection = eventConnection
    this.lanes = lanes
    this.libVersion = libVersion
    this.ended = ended
    this.#end = end
  }

  get endedSignal(): AbortSignal {
    return this.#end.signal
  }

  /** Opens the event connection and the first ones of the lanes. */
  static async open(
    options: OpenOptions,
    sizes: LaneSizes,
    signal: AbortSignal,
    handlers: SessionHandlers,
  ): Promise<Session> {
    const end = new AbortController()
    const { promise: ended, resolve } = Promise.withResolvers<Error>()
    const lanes = new Lanes(sizes, async (onClose) => {
      const laneHandlers: ConnectionHandlers = { onClose, onWarning: handlers.onWarning }
      return openConnection(options, laneHandlers, true, AbortSignal.any([signal, end.signal]))
    })
    const onClose = (why: Error) => {
      lanes.close(why)
      end.abort(why)
      resolve(why)
    }
    const onEvent = (name: string, message: unknown) => {
      // virtproxyd lost the daemon behind it: our socket stays open, but nothing is registered there any more.
      if (name === CLOSED_EVENT) connection?.close(new Error('the daemon behind the connection is gone'))
      else handlers.onEvent(name, message)
    }
    let connection: Connection | undefined
    connection = await openConnection(options, { onEvent, onClose, onWarning: handlers.onWarning }, true, signal)
    try {
      const { lib_ver: version } = await callOn(
        connection,
        'remote:CONNECT_GET_LIB_VERSION',
        {},
        options.handshakeTimeoutMs,
        { signal },
      )
      await askForCloseEvent(connection, options.handshakeTimeoutMs, signal)
      await lanes.warm()
      return new Session(connection, lanes, Number(version), ended, end)
    } catch (error) {
      connection.close(error as Error)
      throw error
    }
  }

  close(why: Error): void {
    this.eventConnection.close(why)
  }
}

async function askForCloseEvent(connection: Connection, timeoutMs: number, signal: AbortSignal): Promise<void> {
  try {
    await callOn(connection, 'remote:CONNECT_REGISTER_CLOSE_CALLBACK', {}, timeoutMs, { signal })
  } catch (error) {
    // Drivers without a daemon behind them have no such event.
    if (!isUnsupported(error)) throw error
  }
}
