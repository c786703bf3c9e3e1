import { AgentError } from '../core/errors.ts'
import type { Bandwidth } from '../images/bandwidth.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal } from '../operations/operation.ts'
import type { RateService } from './contracts.ts'

/** Rate limits of image downloads, for jobs of the given kinds. */
export function createRateService(
  bandwidth: Bandwidth,
  operations: OperationManager,
  kinds: readonly string[],
): RateService {
  return {
    limits: () => bandwidth.limits(),
    setLimits: (limits) => bandwidth.setLimits(limits),
    async limitJob(jobId, bytesPerSecond) {
      const record = operations.get(jobId)
      if (record === undefined || !kinds.includes(record.kind)) {
        throw new AgentError('JOB_NOT_FOUND', `image job ${jobId} is unknown`)
      }
      if (isFinal(record.state)) {
        throw new AgentError('JOB_FINISHED', `job ${jobId} has ended (${record.state}): nothing of it can be limited`)
      }
      await bandwidth.limitJob(jobId, bytesPerSecond)
    },
  }
}
