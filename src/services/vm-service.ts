import { silentLogger } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import { parseUuid } from '../core/ids.ts'
import type { VmCreator } from '../domains/create.ts'
import type { VmDeleter } from '../domains/delete.ts'
import { GuestAgent } from '../domains/guest-agent.ts'
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
    start: (vmId, signal) => change(vmId, (id) => power.start(id, signal)),
    stop: (vmId, timeoutSeconds, signal) => change(vmId, (id) => power.stop(id, timeoutSeconds, signal)),
    forceStop: (vmId, signal) => change(vmId, (id) => power.forceStop(id, signal)),
    reboot: (vmId, signal) => change(vmId, (id) => power.reboot(id, signal)),
    pause: (vmId, signal) => change(vmId, (id) => power.pause(id, signal)),
    resume: (vmId, signal) => change(vmId, (id) => power.resume(id, signal)),
    delete: (vmId, signal) => change(vmId, (id) => deleter.delete(id, signal)),
    status: async (vmId, signal) => inventory.get(parseUuid(vmId, 'vm_id'), signal),
    list: (signal) => inventory.list(signal),
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
    guestExec: async (vmId, { command, args, timeoutMs }, signal) =>
      new GuestAgent(libvirt, parseUuid(vmId, 'vm_id')).exec(command, args, timeoutMs, { signal, log: silentLogger }),
  }
}
