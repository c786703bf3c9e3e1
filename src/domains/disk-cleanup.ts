import type { OpContext } from '../core/context.ts'
import { errorText, isAgentError } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationHandler } from '../operations/operation.ts'
import { delay } from '../platform/clock.ts'
import { mayPass } from './cleanup.ts'
import type { DomainDeps } from './deps.ts'
import type { RemovalParts } from './device-removal.ts'
import { pluggedDisk, unplugDevice } from './device-unplug.ts'
import { readHalves } from './domain-halves.ts'
import { vmLock } from './power.ts'
import { deleteOwnVolumes, type VolumeRef } from './vm-remains.ts'

/** Kind of the operation in the journal. */
export const DISK_CLEANUP_KIND = 'vm.disk-cleanup'

/** A disk that must not be: `volumes` were made for it alone. */
export interface UnwantedDisk {
  readonly vmId: string
  readonly diskId: string
  readonly volumes: readonly VolumeRef[]
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/** Leaves a disk to an operation that waits for libvirt, the guest and the pool as long as it takes, over restarts of the agent too. */
export async function startDiskCleanup(operations: OperationManager, disk: UnwantedDisk): Promise<void> {
  // Without the VM's lock: a guest that keeps the disk must not keep the VM.
  await operations.start(DISK_CLEANUP_KIND, disk, { subject: `vm ${disk.vmId}` })
}

/** True while a disk of this id is being removed from the VM. */
export function isDiskBeingCleanedUp(operations: OperationManager, vmId: string, diskId: string): boolean {
  return operations.list(DISK_CLEANUP_KIND).some(({ state, params }) => {
    const disk = params as UnwantedDisk
    return !isFinal(state) && disk.vmId === vmId && disk.diskId === diskId
  })
}

/** Takes a disk out of its VM, if that has it, and deletes what was made for it. Holds no lock itself. Errors: those of `unplugDevice` and `deleteOwnVolumes`. */
export async function removeUnwantedDisk(
  { vmId, diskId, volumes }: UnwantedDisk,
  deps: Pick<DomainDeps, 'pools'>,
  parts: RemovalParts,
  ctx: OpContext,
): Promise<void> {
  try {
    const { live, config } = await readHalves(parts.client, vmId, ctx.signal)
    const disk = [live, config].flatMap((half) => half?.facts.disks ?? []).find(({ id }) => id === diskId)
    if (disk !== undefined) await unplugDevice(vmId, pluggedDisk(disk), parts, ctx)
  } catch (error) {
    // Its disks go with the VM.
    if (!isAgentError(error, 'VM_NOT_FOUND')) throw error
  }
  // The VM itself counts too: by now it may have the volume as another disk.
  await parts.inventory.settle(vmId)
  await deleteOwnVolumes(deps, volumes, vmId, ctx, 'anyone')
}

/** The operation that removes a disk which must not be. */
export function diskCleanupHandler(
  deps: DomainDeps,
  parts: RemovalParts,
  locks: KeyedLock,
): OperationHandler<UnwantedDisk, undefined, never> {
  return {
    kind: DISK_CLEANUP_KIND,
    onRestart: 'resume',
    onShutdown: 'interrupt',
    run: async (disk, ctx) => {
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
        try {
          await parts.client.ready(ctx.signal)
          await locks.run(vmLock(disk.vmId), ctx.signal, () => removeUnwantedDisk(disk, deps, parts, ctx))
          return
        } catch (error) {
          ctx.signal.throwIfAborted()
          if (!mayPass(error) && !isAgentError(error, 'DETACH_REFUSED', 'VOLUME_IN_USE')) throw error
          ctx.log.warn({ vm: disk.vmId, disk: disk.diskId, err: errorText(error) }, 'removal of a disk has to wait')
          await delay(pauseMs, ctx.signal)
        }
      }
    },
  }
}
