import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { finished, type Duplex } from 'node:stream'

/** A peer that is gone without a word is noticed after this and ten probes of a second. */
const KEEPALIVE_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000
/** How long the last bytes may take on their way to a side that does not read. */
const FLUSH_MS = 5_000

/** A connection to a console on this host. Rejects with the error of the connection, also when it takes longer than 10 s. */
export async function connectConsole(target: NetConnectOpts): Promise<Socket> {
  const socket = connect(target)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve)
  socket.once('error', reject)
  const timer = setTimeout(() => socket.destroy(new Error('the console does not answer')), CONNECT_TIMEOUT_MS)
  try {
    await promise
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    socket.off('error', reject)
  }
  watch(socket)
  return socket
}

/** Settings of every connection that carries a console: small packets at once, dead peers noticed. */
export function watch(socket: Socket): void {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEPALIVE_MS)
}

/** Carries bytes both ways, each as fast as its receiver takes them, until one side ends or breaks; then both are closed. Never rejects. */
export async function bridge(client: Duplex, guest: Duplex): Promise<void> {
  const sides = [client, guest]
  const ended = Promise.withResolvers<void>()
  for (const side of sides) {
    // An error is always followed by the end.
    side.on('error', () => side.destroy())
    finished(side, { writable: false }, () => ended.resolve())
    side.once('close', () => ended.resolve())
  }
  client.pipe(guest)
  guest.pipe(client)
  await ended.promise
  // What one side sent last is still on its way to the other.
  await Promise.all(sides.map(flush))
}

function flush(side: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(() => side.destroy(), FLUSH_MS)
  side.once('close', resolve)
  if (side.closed) resolve()
  else if (side.writableFinished) side.destroy()
  // Also when its end was begun by the other side's: what was written before is on its way still.
  else side.end(() => side.destroy())
  return promise.finally(() => clearTimeout(timer))
}
