import { GIB, MIB } from '../../core/bytes.ts'
import { withDeadline, type OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import type { PoolAccess } from '../../storage/pool-access.ts'
import type { PlannedExport } from './plan-export.ts'

const FIRST_BYTES = GIB
const LAST_BYTES = 256 * MIB
/** Of small disks less is enough. */
const LAST_PART = 1 / 8
const PROBE_TIMEOUT_MS = 5_000

type Room = Pick<PlannedExport, 'poolId' | 'disks'>

/** Bytes that a pool has to have for what guests overwrite during an export, which is all of the disks at most: 1 GiB to `begin`, 256 MiB to `goOn`. */
export function roomOf({ disks }: Pick<Room, 'disks'>): { readonly begin: number; readonly goOn: number } {
  const all = disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return { begin: Math.min(all, FIRST_BYTES), goOn: Math.min(all * LAST_PART, LAST_BYTES) }
}

/** Whether an export can go on, by the bytes that its pool has left right now; true while nobody can tell. */
export async function hasRoom(room: Room, pools: Pick<PoolAccess, 'require'>, ctx: OpContext): Promise<boolean> {
  try {
    const timed = withDeadline(ctx, PROBE_TIMEOUT_MS)
    const { backend } = await pools.require(room.poolId, timed)
    const { health, availableBytes } = await backend.probe(timed)
    if (health === 'ERROR' || health === 'UNMOUNTED' || availableBytes >= roomOf(room).goOn) return true
    ctx.log.warn(
      { pool: room.poolId, availableBytes },
      'an export ends: there is no room for what the guest overwrites',
    )
    return false
  } catch (error) {
    ctx.signal.throwIfAborted()
    ctx.log.warn({ pool: room.poolId, err: errorText(error) }, 'how much room an export has cannot be told now')
    return true
  }
}
