import type { JobDetails } from '../../operations/job-details.ts'
import type { OperationRecord } from '../../operations/operation.ts'
import type { MoveJournal } from './move-journal.ts'
import type { MoveRequest } from './move-request.ts'

/** What the job of a move shows: which disk, from where and where to. */
export function moveDetails({ params, journal }: OperationRecord): JobDetails {
  const { diskId, poolId } = params as MoveRequest
  const { plan } = (journal ?? {}) as Partial<MoveJournal>
  const pools = plan?.leaves === undefined ? [poolId] : [plan.leaves.poolId, poolId]
  return {
    resources: pools.map((id) => `pool:${id}`),
    details: {
      disk: diskId,
      pool: poolId,
      ...(plan?.leaves === undefined ? {} : { fromPool: plan.leaves.poolId }),
      ...(plan === undefined ? {} : { volume: plan.volume.name, sizeBytes: plan.sizeBytes }),
    },
  }
}
