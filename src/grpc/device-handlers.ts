import { parseUuid } from '../core/ids.ts'
import type { Services } from '../services/contracts.ts'
import { unary, type CallEnvironment } from './call.ts'
import type { AttachDiskRequest__Output } from './gen/limiquantix/node/v1/AttachDiskRequest.ts'
import type { AttachNICRequest__Output } from './gen/limiquantix/node/v1/AttachNICRequest.ts'
import type { ChangeMediaRequest__Output } from './gen/limiquantix/node/v1/ChangeMediaRequest.ts'
import type { DetachDiskRequest__Output } from './gen/limiquantix/node/v1/DetachDiskRequest.ts'
import type { DetachNICRequest__Output } from './gen/limiquantix/node/v1/DetachNICRequest.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import { fromDiskMessage, fromNicMessage } from './vm-messages.ts'

const change = (name: string) => ({ name, changes: true })

/** The methods that change the devices of VMs. */
export function deviceHandlers({ devices }: Services, env: CallEnvironment) {
  return {
    AttachDisk: unary(env, change('AttachDisk'), async (request: AttachDiskRequest__Output, signal) => {
      await devices.attachDisk(parseUuid(request.vmId, 'vm_id'), fromDiskMessage(request.disk), signal)
      return {}
    }),
    DetachDisk: unary(env, change('DetachDisk'), async (request: DetachDiskRequest__Output, signal) => {
      await devices.detachDisk(parseUuid(request.vmId, 'vm_id'), request.diskId, signal)
      return {}
    }),
    AttachNIC: unary(env, change('AttachNIC'), async (request: AttachNICRequest__Output, signal) => {
      await devices.attachNic(parseUuid(request.vmId, 'vm_id'), fromNicMessage(request.nic), signal)
      return {}
    }),
    DetachNIC: unary(env, change('DetachNIC'), async (request: DetachNICRequest__Output, signal) => {
      await devices.detachNic(parseUuid(request.vmId, 'vm_id'), request.nicId, signal)
      return {}
    }),
    ChangeMedia: unary(env, change('ChangeMedia'), async (request: ChangeMediaRequest__Output, signal) => {
      const { device, isoPath } = request
      await devices.changeMedia(parseUuid(request.vmId, 'vm_id'), { device, isoPath }, signal)
      return {}
    }),
  } satisfies Partial<NodeDaemonServiceHandlers>
}
