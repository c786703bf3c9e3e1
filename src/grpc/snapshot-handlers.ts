import { parseUuid } from '../core/ids.ts'
import type { VmSnapshot } from '../core/model.ts'
import type { Services } from '../services/contracts.ts'
import { unary, type CallEnvironment } from './call.ts'
import type { CreateSnapshotRequest__Output } from './gen/limiquantix/node/v1/CreateSnapshotRequest.ts'
import type { DeleteSnapshotRequest__Output } from './gen/limiquantix/node/v1/DeleteSnapshotRequest.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import { PowerState } from './gen/limiquantix/node/v1/PowerState.ts'
import type { RevertSnapshotRequest__Output } from './gen/limiquantix/node/v1/RevertSnapshotRequest.ts'
import type { SnapshotResponse } from './gen/limiquantix/node/v1/SnapshotResponse.ts'
import type { VMIdRequest__Output } from './gen/limiquantix/node/v1/VMIdRequest.ts'
import { toTimestamp } from './wire-values.ts'

const change = (name: string) => ({ name, changes: true })

/** The methods about snapshots of VMs. The contract cannot ask for memory: a running VM is kept with it where that is possible. */
export function snapshotHandlers({ snapshots }: Services, env: CallEnvironment) {
  return {
    CreateSnapshot: unary(env, change('CreateSnapshot'), async (request: CreateSnapshotRequest__Output, signal) => {
      const { name, description, quiesce } = request
      const vmId = parseUuid(request.vmId, 'vm_id')
      return toMessage(await snapshots.create(vmId, { name, description, quiesce, includeMemory: undefined }, signal))
    }),
    RevertSnapshot: unary(env, change('RevertSnapshot'), async (request: RevertSnapshotRequest__Output, signal) => {
      await snapshots.revert(parseUuid(request.vmId, 'vm_id'), request.snapshotId, signal)
      return {}
    }),
    DeleteSnapshot: unary(env, change('DeleteSnapshot'), async (request: DeleteSnapshotRequest__Output, signal) => {
      await snapshots.delete(parseUuid(request.vmId, 'vm_id'), request.snapshotId, signal)
      return {}
    }),
    ListSnapshots: unary(
      env,
      { name: 'ListSnapshots', changes: false },
      async (request: VMIdRequest__Output, signal) => ({
        snapshots: (await snapshots.list(parseUuid(request.vmId, 'vm_id'), signal)).map(toMessage),
      }),
    ),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function toMessage({ id, name, description, createdAt, vmState, parentId }: VmSnapshot): SnapshotResponse {
  return {
    snapshotId: id,
    name,
    description,
    createdAt: toTimestamp(createdAt),
    vmState: PowerState[`POWER_STATE_${vmState}`],
    parentId,
  }
}
