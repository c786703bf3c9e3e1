import path from 'node:path'
import type { Duplex } from 'node:stream'
import { connectConsole } from '../consoles/bridge.ts'
import type { ConsoleConnections } from '../consoles/connections.ts'
import { TICKET_LIFE_MS, type ConsoleTickets, type TicketUse } from '../consoles/console-tickets.ts'
import { findVncServer, requireSerial } from '../consoles/guest-consoles.ts'
import { relayPlace } from '../consoles/relay-address.ts'
import { openSerialConsole, type LibvirtStreams } from '../consoles/serial-console.ts'
import type { VncRelays } from '../consoles/vnc-relays.ts'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { parseUuid } from '../core/ids.ts'
import type { DomainInventory } from '../domains/inventory.ts'
import type { LibvirtCalls } from '../domains/libvirt-domain.ts'
import { CONSOLE_LOG, vmDirectory } from '../domains/names.ts'
import { readQemuLog } from '../domains/qemu-log.ts'
import type { ConsoleService } from './contracts.ts'

/** What the service is made of. */
export interface ConsoleServiceParts {
  readonly libvirt: LibvirtCalls & LibvirtStreams
  readonly inventory: Pick<DomainInventory, 'entry'>
  readonly relays: VncRelays
  readonly tickets: ConsoleTickets
  readonly connections: ConsoleConnections
  /** The address the control plane reaches this host at; empty when none is known. */
  readonly managementAddress: (signal: AbortSignal) => Promise<string>
  readonly stateDir: string
  readonly log: Logger
}

/** ConsoleService over the consoles of libvirt's domains. */
export function createConsoleService(parts: ConsoleServiceParts): ConsoleService {
  const { libvirt, relays, tickets, connections, managementAddress } = parts
  const serials = new Map<string, Duplex>()
  const serial = async (vmId: string, force: boolean, signal: AbortSignal): Promise<Duplex> => {
    // libvirt leaves the connection that a console is taken from open and silent.
    if (force) serials.get(vmId)?.destroy()
    const opened = await openSerialConsole(libvirt, vmId, { force, signal })
    serials.set(vmId, opened)
    opened.once('close', () => {
      if (serials.get(vmId) === opened) serials.delete(vmId)
    })
    return opened
  }
  const stream = async ({ vmId, kind, force }: TicketUse, signal: AbortSignal): Promise<Duplex> => {
    if (kind === 'serial') return serial(vmId, force, signal)
    const { target } = await findVncServer(libvirt, vmId, signal)
    try {
      return await connectConsole(target)
    } catch (error) {
      const text = `the VNC console of VM ${vmId} does not answer: ${errorText(error)}`
      throw new AgentError('CONSOLE_UNAVAILABLE', text, { cause: error })
    }
  }
  return {
    async open(vmId, caller, signal) {
      const id = parseUuid(vmId, 'vm_id')
      const { target, password } = await findVncServer(libvirt, id, signal)
      const place = relayPlace(caller, await managementAddress(signal))
      if (place === undefined) {
        const text = 'no management address is known that a console relay could listen on; set node.management_ip'
        throw new AgentError('CONSOLE_UNAVAILABLE', text)
      }
      const port = await relays.open({ vmId: id, target, ...place })
      return { type: 'vnc', host: place.listenAddress, port, password }
    },
    async issueTicket(use, signal) {
      const vmId = parseUuid(use.vmId, 'vm_id')
      let password = ''
      if (use.kind === 'serial') await requireSerial(libvirt, vmId, signal)
      else ({ password } = await findVncServer(libvirt, vmId, signal))
      return { ticket: tickets.issue({ ...use, vmId }), lifeMs: TICKET_LIFE_MS, password }
    },
    async connect(vmId, ticket, signal) {
      const use = tickets.redeem(ticket, parseUuid(vmId, 'vm_id'))
      let guest: Duplex | undefined
      const forget = connections.add(use.vmId, () => guest?.destroy())
      try {
        guest = await stream(use, signal)
        signal.throwIfAborted()
      } catch (error) {
        guest?.destroy()
        forget()
        throw error
      }
      guest.once('close', () => forget())
      return { kind: use.kind, stream: guest }
    },
    async log(vmId, lines, signal) {
      const id = parseUuid(vmId, 'vm_id')
      const { facts } = await parts.inventory.entry(id, signal)
      const file = path.parse(CONSOLE_LOG).name
      return { vmName: facts.name, ...(await readQemuLog(vmDirectory(parts.stateDir, id), file, lines)) }
    },
  }
}
