import { silentLogger } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import { parseUuid } from '../core/ids.ts'
import type { VmCreator } from '../domains/create.ts'
import type { VmDeleter } from '../domains/delete.ts'
import { GuestAgent } from '../domains/guest-agent.ts'
import { runInGuest } from '../domains/guest-program.ts'
import type { DomainInventory } from '../domains/inventory.ts'
import type { LibvirtCalls } from '../domains/libvirt-domain.ts'
import type { DomainPower } from '../domains/power.ts'
import type { VmService } from './contracts.ts'

/** The parts of the domain layer the service is made of. */
export interface VmServiceParts {
  readonly inventory: DomainInventory
  readonly power: DomainPower
  readonly creator: VmCreator
  readonly deleter: VmDeleter
  readonly libvirt: LibvirtCalls
}

/** VmService over the domain layer: checks ids, and lets callers see what they did. */
export function createVmService({ inventory, power, creator, deleter, libvirt }: VmServiceParts): VmService {
  // libvirt's answer to a call may overtake its event: who asks right after a change has to see it.
  const change = async <T>(vmId: string, work: (vmId: string) => Promise<T>): Promise<T> => {
    const id = parseUuid(vmId, 'vm_id')
    try {
      return await work(id)
    } finally {
      await inventory.settle(id)
    }
  }
  return {
    create: (request, signal) => change(request.vmId, () => creator.create(request, signal)),
    start: (vmId, signal, takeOver = false) => change(vmId, (id) => power.start(id, signal, takeOver)),
    stop: (vmId, timeoutSeconds, signal, force = false) =>
      change(vmId, async (id) => {
        try {
          await power.stop(id, timeoutSeconds, signal)
        } catch (error) {
          if (!force || !isAgentError(error, 'VM_STOP_TIMEOUT')) throw error
          await power.forceStop(id, signal)
        }
      }),
    forceStop: (vmId, signal) => change(vmId, (id) => power.forceStop(id, signal)),
    reboot: (vmId, signal) => change(vmId, (id) => power.reboot(id, signal)),
    reset: (vmId, signal) => change(vmId, (id) => power.reset(id, signal)),
    save: (vmId, signal) => change(vmId, (id) => power.save(id, signal)),
    isSaved: async (vmId, signal) => power.isSaved(parseUuid(vmId, 'vm_id'), signal),
    dropSaved: (vmId, signal) => change(vmId, (id) => power.dropSaved(id, signal)),
    setAutostart: (vmId, enabled, signal) => change(vmId, (id) => power.setAutostart(id, enabled, signal)),
    pause: (vmId, signal) => change(vmId, (id) => power.pause(id, signal)),
    resume: (vmId, signal) => change(vmId, (id) => power.resume(id, signal)),
    delete: (vmId, signal) => change(vmId, (id) => deleter.delete(id, signal)),
    status: async (vmId, signal) => inventory.get(parseUuid(vmId, 'vm_id'), signal),
    list: (signal) => inventory.list(signal),
    states: () => inventory.entriesHere().map(({ state }) => state),
    metrics: (signal) => inventory.metrics(signal),
    events: (signal) => inventory.events(signal),
    guestPing: async (vmId, signal) => {
      try {
        await new GuestAgent(libvirt, parseUuid(vmId, 'vm_id')).ping({ signal, log: silentLogger })
        return { available: true }
      } catch (error) {
        if (!isAgentError(error, 'GUEST_AGENT_UNAVAILABLE', 'GUEST_AGENT_REFUSED')) throw error
        return { available: false, error: error.message }
      }
    },
    guestExec: async (vmId, { command, args, timeoutMs }, signal) => {
      const agent = new GuestAgent(libvirt, parseUuid(vmId, 'vm_id'))
      return runInGuest(agent, command, args, timeoutMs, { signal, log: silentLogger })
    },
  }
}
