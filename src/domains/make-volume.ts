import type { OpContext } from '../core/context.ts'
import type { DiskSource } from '../core/model.ts'
import type { CopyReport } from '../storage/backend.ts'
import { firstBytes } from '../storage/first-bytes.ts'
import type { DomainDeps } from './deps.ts'
import type { PlannedVolume } from './plan.ts'

/** A volume that was made for a disk. `sizeBytes` may be more than was asked for, where the pool counts in extents. */
export interface MadeDisk {
  readonly source: DiskSource
  readonly sizeBytes: number
}

/** Makes a planned volume in space that is reserved for it. `what` names the disk in the progress, `purpose` the job to whoever wants to destroy the pool. Errors: POOL_*, those of createVolume. */
export async function makeVolume(
  { poolId, spec, inspected = false }: PlannedVolume,
  { what, purpose }: { readonly what: string; readonly purpose: string },
  deps: Pick<DomainDeps, 'pools'>,
  ctx: OpContext,
): Promise<MadeDisk> {
  const { backend } = await deps.pools.require(poolId, ctx)
  const bytes = await firstBytes(spec, backend, ctx)
  // A copy takes minutes: who looks at the operation sees what it is at.
  const phase = `disks: ${spec.content.type} for ${what}`
  ctx.progress?.({ phase, bytesTotal: bytes })
  const onCopy = ({ bytesDone, bytesTotal }: CopyReport) => ctx.progress?.({ phase, bytesDone, bytesTotal })
  const space = await deps.pools.reserve(poolId, bytes, ctx, purpose)
  try {
    const { source, virtualSizeBytes } = await backend.createVolume(spec, ctx, { onCopy, inspected })
    return { source, sizeBytes: virtualSizeBytes }
  } finally {
    space.release()
  }
}
