import { access } from 'node:fs/promises'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** Where to connect and what to open there. */
export interface LibvirtAddress {
  /** Unix socket of the daemon. */
  readonly socketPath: string
  /** Driver URI for CONNECT_OPEN, without transport and socket: `qemu:///system`. */
  readonly driverUri: string
}

/** What else has a say in the choice of the socket. */
export interface SocketOptions {
  /** Wins over the environment and the well-known places, but not over `?socket=` of the URI. */
  readonly socketPath?: string | undefined
  readonly env?: Readonly<Record<string, string | undefined>>
  /** `/run/libvirt` on every known distribution. */
  readonly systemDirectory?: string
}

const URI = /^(?<driver>[a-z]+)(?:\+(?<transport>[a-z0-9]+))?:\/\/(?<host>[^/?]*)(?<path>\/[^?]*)(?:\?(?<query>.*))?$/

/**
 * Chooses the daemon's socket for a libvirt URI (`qemu:///system`, `qemu+unix:///system?socket=/path`, `test:///default`): `?socket=`, the given
 * path, `$LIBVIRT_SOCK`, the driver's own daemon if its socket is there (modular: virtqemud-sock), else libvirt-sock (monolithic or virtproxyd).
 * Remote transports are CONFIG_INVALID: an agent speaks to its own host.
 */
export async function resolveAddress(uri: string, options: SocketOptions = {}): Promise<LibvirtAddress> {
  const parts = URI.exec(uri)?.groups
  const driver = parts?.['driver']
  if (parts === undefined || driver === undefined) {
    throw new AgentError('CONFIG_INVALID', `${quote(uri)} is not a libvirt URI such as qemu:///system`)
  }
  const { transport = 'unix', host, path = '', query = '' } = parts
  if (transport !== 'unix' || (host !== '' && host !== undefined)) {
    throw new AgentError(
      'CONFIG_INVALID',
      `${quote(uri)}: the agent connects to libvirt on its own host only, over a unix socket`,
    )
  }
  const parameters = new URLSearchParams(query)
  const fromUri = parameters.get('socket')
  parameters.delete('socket')
  const rest = parameters.size === 0 ? '' : `?${parameters.toString()}`
  const driverUri = `${driver}://${path}${rest}`
  const env = options.env ?? process.env
  const chosen = fromUri ?? options.socketPath ?? env['LIBVIRT_SOCK']
  if (chosen) return { socketPath: chosen, driverUri }
  const directory =
    path === '/session'
      ? `${env['XDG_RUNTIME_DIR'] ?? `/run/user/${process.getuid?.() ?? 0}`}/libvirt`
      : (options.systemDirectory ?? '/run/libvirt')
  const modular = `${directory}/virt${driver}d-sock`
  const monolithic = `${directory}/libvirt-sock`
  return { socketPath: (await isThere(modular)) ? modular : monolithic, driverUri }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
