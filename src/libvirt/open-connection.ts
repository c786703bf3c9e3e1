import { errorText } from '../core/errors.ts'
import { Connection, type ConnectionHandlers, type StreamSink } from './connection.ts'
import { VIR_CONNECT_RO, VIR_DRV_FEATURE, VIR_ERR } from './constants.ts'
import { isLibvirtError, LibvirtGone } from './errors.ts'
import { PendingCall } from './pending-call.ts'
import { findProcedure, type ProcedureName, PROGRAMS } from './programs.ts'
import type { LibvirtAddress } from './socket.ts'
import { REMOTE_AUTH_NONE, REMOTE_AUTH_POLKIT } from './wire/constants.gen.ts'
import type { Procedures } from './wire/procedures.gen.ts'

/** How connections are opened. */
export interface OpenOptions {
  readonly address: LibvirtAddress
  readonly readOnly: boolean
  /** Deadline of each step of the handshake; a socket-activated daemon needs seconds for the first. */
  readonly handshakeTimeoutMs: number
  readonly keepaliveIntervalMs: number
  readonly keepaliveCount: number
}

/** Calls one procedure on one connection, past all lanes. */
export async function callOn<P extends ProcedureName>(
  connection: Connection,
  name: P,
  args: Procedures[P]['args'],
  timeoutMs: number,
  extras: { signal?: AbortSignal | undefined; stream?: StreamSink; onSerial?: (serial: number) => void } = {},
): Promise<Procedures[P]['ret']> {
  const { stream, signal } = extras
  const call = new PendingCall({
    name,
    ...findProcedure(name),
    args,
    timeoutMs,
    signal,
    ...(stream === undefined ? {} : { stream }),
  })
  if (!call.settled) {
    call.markSent()
    try {
      const serial = connection.send(call)
      extras.onSerial?.(serial)
    } catch (error) {
      call.fail(error as Error)
    }
  }
  // The name fixes the type of the result; the generated decoder gives exactly that.
  return (await call.promise) as Procedures[P]['ret']
}

/**
 * Connects, authenticates and opens the driver. With `keepalive` the daemon is asked to ping us and we ping it; a connection that will be paused
 * (a stream) goes without, since neither side could answer in time.
 */
export async function openConnection(
  options: OpenOptions,
  handlers: ConnectionHandlers,
  keepalive: boolean,
  signal: AbortSignal,
): Promise<Connection> {
  const { address, handshakeTimeoutMs } = options
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(handshakeTimeoutMs)])
  let connection: Connection
  try {
    connection = await Connection.open(address.socketPath, PROGRAMS, handlers, deadline)
  } catch (error) {
    throw new LibvirtGone('connect', false, `${address.socketPath}: ${errorText(error)}`, error)
  }
  try {
    const call = <P extends ProcedureName>(name: P, args: Procedures[P]['args']) =>
      callOn(connection, name, args, handshakeTimeoutMs, { signal })
    await authenticate(call)
    // Before CONNECT_OPEN, which may take long: from here on the daemon notices when we are gone.
    if (
      keepalive &&
      (await call('remote:CONNECT_SUPPORTS_FEATURE', { feature: VIR_DRV_FEATURE.PROGRAM_KEEPALIVE })).supported === 1
    ) {
      connection.startKeepalive(options.keepaliveIntervalMs, options.keepaliveCount)
    }
    await call('remote:CONNECT_OPEN', { name: address.driverUri, flags: options.readOnly ? VIR_CONNECT_RO : 0 })
    return connection
  } catch (error) {
    connection.close(error as Error)
    throw error
  }
}

type Call = <P extends ProcedureName>(name: P, args: Procedures[P]['args']) => Promise<Procedures[P]['ret']>

async function authenticate(call: Call): Promise<void> {
  const { types } = await call('remote:AUTH_LIST', {})
  if (types.length === 0 || types.includes(REMOTE_AUTH_NONE)) return
  if (!types.includes(REMOTE_AUTH_POLKIT)) {
    throw new LibvirtGone(
      'authentication',
      false,
      'libvirtd asks for SASL; run the agent as root, or set auth_unix_rw to "none" or "polkit"',
    )
  }
  try {
    await call('remote:AUTH_POLKIT', {})
  } catch (error) {
    if (
      !isLibvirtError(
        error,
        VIR_ERR.AUTH_FAILED,
        VIR_ERR.AUTH_CANCELLED,
        VIR_ERR.AUTH_UNAVAILABLE,
        VIR_ERR.INTERNAL_ERROR,
      )
    )
      throw error
    throw new LibvirtGone('authentication', false, `polkit refused the agent: ${errorText(error)}`, error)
  }
}
