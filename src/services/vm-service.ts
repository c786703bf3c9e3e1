import { AgentError } from '../core/errors.ts'
import { isUuid, quote } from '../core/ids.ts'
import type { VmCreator } from '../domains/create.ts'
import type { VmDeleter } from '../domains/delete.ts'
import type { DomainInventory } from '../domains/inventory.ts'
import type { DomainPower } from '../domains/power.ts'
import type { VmService } from './contracts.ts'

/** The parts of the domain layer the service is made of. */
export interface VmServiceParts {
  readonly inventory: DomainInventory
  readonly power: DomainPower
  readonly creator: VmCreator
  readonly deleter: VmDeleter
}

/** VmService over the domain layer: checks ids, nothing else. */
export function createVmService({ inventory, power, creator, deleter }: VmServiceParts): VmService {
  return {
    create: async (request, signal) => await creator.create(request, signal),
    start: async (vmId, signal) => await power.start(checkId(vmId), signal),
    stop: async (vmId, timeoutSeconds, signal) => await power.stop(checkId(vmId), timeoutSeconds, signal),
    forceStop: async (vmId, signal) => await power.forceStop(checkId(vmId), signal),
    reboot: async (vmId, signal) => await power.reboot(checkId(vmId), signal),
    pause: async (vmId, signal) => await power.pause(checkId(vmId), signal),
    resume: async (vmId, signal) => await power.resume(checkId(vmId), signal),
    delete: async (vmId, signal) => await deleter.delete(checkId(vmId), signal),
    status: async (vmId, signal) => await inventory.get(checkId(vmId), signal),
    list: async (signal) => await inventory.list(signal),
    events: (signal) => inventory.events(signal),
  }
}

function checkId(vmId: string): string {
  if (!isUuid(vmId)) throw new AgentError('INVALID_REQUEST', `vm_id: ${quote(vmId)} is not a UUID`)
  return vmId.toLowerCase()
}
