import { silentLogger } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { isUuid, quote } from '../core/ids.ts'
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

/** VmService over the domain layer: checks ids, nothing else. */
export function createVmService({ inventory, power, creator, deleter, libvirt }: VmServiceParts): VmService {
  return {
    create: (request, signal) => creator.create(request, signal),
    start: async (vmId, signal) => power.start(checkId(vmId), signal),
    stop: async (vmId, timeoutSeconds, signal) => power.stop(checkId(vmId), timeoutSeconds, signal),
    forceStop: async (vmId, signal) => power.forceStop(checkId(vmId), signal),
    reboot: async (vmId, signal) => power.reboot(checkId(vmId), signal),
    pause: async (vmId, signal) => power.pause(checkId(vmId), signal),
    resume: async (vmId, signal) => power.resume(checkId(vmId), signal),
    delete: async (vmId, signal) => deleter.delete(checkId(vmId), signal),
    status: async (vmId, signal) => inventory.get(checkId(vmId), signal),
    list: (signal) => inventory.list(signal),
    events: (signal) => inventory.events(signal),
    guestPing: async (vmId, signal) => {
      try {
        await new GuestAgent(libvirt, checkId(vmId)).ping({ signal, log: silentLogger })
        return { available: true }
      } catch (error) {
        if (!isAgentError(error, 'GUEST_AGENT_UNAVAILABLE', 'GUEST_AGENT_REFUSED')) throw error
        return { available: false, error: error.message }
      }
    },
    guestExec: async (vmId, { command, args, timeoutMs }, signal) =>
      new GuestAgent(libvirt, checkId(vmId)).exec(command, args, timeoutMs, { signal, log: silentLogger }),
  }
}

function checkId(vmId: string): string {
  if (!isUuid(vmId)) throw new AgentError('INVALID_REQUEST', `vm_id: ${quote(vmId)} is not a UUID`)
  return vmId.toLowerCase()
}
