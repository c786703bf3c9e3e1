import { placeOf } from '../../core/model.ts'
import type { OperationRecord } from '../../operations/operation.ts'
import type { PoolAccess } from '../../storage/pool-access.ts'
import type { OpContext } from '../../core/context.ts'
import type { BackupTarget } from './backup-xml.ts'
import { roomOf } from './export-room.ts'
import type { PlannedExport } from './plan-export.ts'

type Context = OpContext & Pick<OperationRecord, 'id'>

/** Makes the volumes in which QEMU keeps what the guest overwrites. POOL_FULL when they would hardly have room, other POOL_*. */
export async function makeScratch(
  { poolId, disks }: PlannedExport,
  purpose: string,
  pools: PoolAccess,
  ctx: Context,
): Promise<BackupTarget[]> {
  const { backend } = await pools.require(poolId, ctx)
  const space = await pools.reserve(poolId, roomOf({ disks }).begin, ctx, purpose)
  try {
    const made: BackupTarget[] = []
    for (const { scratch: name, targetDev, sizeBytes } of disks) {
      const content = { type: 'empty' } as const
      const spec = { name, format: 'qcow2', sizeBytes, content, owner: scratchOwner(ctx) } as const
      made.push({ targetDev, path: placeOf((await backend.createVolume(spec, ctx)).source) })
    }
    return made
  } finally {
    // From here on the room is looked at.
    space.release()
  }
}

/** Removes them; success when they are gone. POOL_*. */
export async function removeScratch({ poolId, disks }: PlannedExport, pools: PoolAccess, ctx: Context): Promise<void> {
  const { backend } = await pools.require(poolId, ctx)
  for (const { scratch } of disks) await backend.deleteVolume(scratch, ctx, scratchOwner(ctx))
}

/** Whose they are: another host of the pool may have been left an export of the same VM. */
export function scratchOwner({ id }: Pick<OperationRecord, 'id'>): string {
  return `backup-export:${id}`
}
