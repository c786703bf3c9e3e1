import type { NetConnectOpts } from 'node:net'
import { AgentError } from '../core/errors.ts'
import { isOff, domainRef, readDomainXml, readPowerState, type LibvirtCalls } from '../domains/libvirt-domain.ts'
import { vmNotFound } from '../domains/libvirt-errors.ts'
import { readXml, type XmlElement } from '../domains/read-xml.ts'
import { VIR_DOMAIN_XML } from '../libvirt/constants.ts'

/** Where QEMU's VNC server of a running VM listens. */
export interface VncServer {
  readonly target: NetConnectOpts
  /** What the server asks its clients for; empty when it asks for nothing. A secret. */
  readonly password: string
}

/**
 * The VNC server of a running VM, ours or a foreign one. Errors: VM_NOT_FOUND, CONSOLE_OFF when the VM does not run, CONSOLE_ABSENT when it has no VNC server, LIBVIRT_*.
 */
export async function findVncServer(libvirt: LibvirtCalls, vmId: string, signal: AbortSignal): Promise<VncServer> {
  // The password is in the definition only when it is asked for as a secret.
  const domain = await runningDomain(libvirt, vmId, signal, VIR_DOMAIN_XML.SECURE)
  const all = domain.first('devices')?.all('graphics') ?? []
  const vnc = all.find((graphics) => graphics.attribute('type') === 'vnc')
  const target = vnc === undefined ? undefined : vncTarget(vnc)
  if (vnc === undefined || target === undefined) {
    const others = all.map((graphics) => graphics.attribute('type')).join(', ')
    throw new AgentError(
      'CONSOLE_ABSENT',
      `VM ${vmId} has no VNC console${others === '' ? '' : ` that can be reached; its displays: ${others}`}`,
    )
  }
  return { target, password: vnc.attribute('passwd') ?? '' }
}

/** Requires that a running VM has a serial console. Errors as findVncServer. */
export async function requireSerial(libvirt: LibvirtCalls, vmId: string, signal: AbortSignal): Promise<void> {
  const devices = (await runningDomain(libvirt, vmId, signal, 0)).first('devices')
  // libvirt opens the first console, and those of a pseudo terminal only.
  const first = devices?.first('console') ?? devices?.first('serial')
  if (first?.attribute('type') === 'pty') return
  throw new AgentError('CONSOLE_ABSENT', `VM ${vmId} has no serial console on a pseudo terminal`)
}

async function runningDomain(
  libvirt: LibvirtCalls,
  vmId: string,
  signal: AbortSignal,
  flags: number,
): Promise<XmlElement> {
  if (isOff(await readPowerState(libvirt, vmId, signal))) {
    throw new AgentError('CONSOLE_OFF', `VM ${vmId} does not run, so it has no console; start it first`)
  }
  const xml = await readDomainXml(libvirt, domainRef(vmId), vmId, signal, flags)
  if (xml === undefined) throw vmNotFound(vmId)
  return readXml(xml)
}

function vncTarget(vnc: XmlElement): NetConnectOpts | undefined {
  const socket = vnc.attribute('socket') ?? vnc.first('listen')?.attribute('socket')
  if (socket !== undefined) return { path: socket }
  const port = Number(vnc.attribute('port'))
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  const address = vnc.first('listen')?.attribute('address') ?? vnc.attribute('listen') ?? ''
  // A server of somebody else's may listen everywhere.
  const host = ({ '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' } as Record<string, string>)[address] ?? address
  return { host, port }
}
