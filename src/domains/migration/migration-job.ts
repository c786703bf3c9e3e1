import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import type { MigrationOptions } from '../../core/model.ts'
import { numberParam, readTypedParams } from '../../libvirt/typed-params.ts'
import { delay, monotonicMs } from '../../platform/clock.ts'
import { domainRef } from '../libvirt-domain.ts'
import type { MigrationParts } from './build-offer.ts'

const POLL_MS = 500
const TIMEOUT_MS = 15_000

/** Goes along with libvirt's job while a VM is transferred: tells its progress, sets what can only be set of a job that runs, and cancels it when the operation is. Never throws. */
export function followJob(
  vmId: string,
  options: MigrationOptions,
  client: MigrationParts['client'],
  ctx: OpContext,
): { stop(): Promise<void> } {
  const over = new AbortController()
  const calling = { timeoutMs: TIMEOUT_MS, mayOverlap: true } as const
  const dom = domainRef(vmId)
  const startedAt = monotonicMs()
  const done = { downtime: options.maxDowntimeMs === undefined, postCopy: options.postCopyAfterMs === undefined }
  let percent = 0
  const look = async () => {
    if (ctx.signal.aborted) {
      // Once more at each look, until it is over: the job may not have begun yet.
      await client.call('remote:DOMAIN_ABORT_JOB', { dom }, calling)
      return
    }
    const { type, params } = await client.call('remote:DOMAIN_GET_JOB_STATS', { dom, flags: 0 }, calling)
    if (type === 0) return
    const stats = readTypedParams(params)
    const total = numberParam(stats, 'data_total') ?? 0
    const remaining = numberParam(stats, 'data_remaining') ?? 0
    if (total > 0) percent = Math.max(percent, Math.floor(((total - remaining) / total) * 100))
    ctx.progress?.({
      phase: 'transferring',
      percent,
      bytesDone: numberParam(stats, 'data_processed') ?? 0,
      bytesTotal: (numberParam(stats, 'data_processed') ?? 0) + remaining,
    })
    if (!done.downtime) {
      await client.call(
        'remote:DOMAIN_MIGRATE_SET_MAX_DOWNTIME',
        { dom, downtime: BigInt(options.maxDowntimeMs ?? 0), flags: 0 },
        calling,
      )
      done.downtime = true
    }
    if (!done.postCopy && monotonicMs() - startedAt >= (options.postCopyAfterMs ?? 0)) {
      await client.call('remote:DOMAIN_MIGRATE_START_POST_COPY', { dom, flags: 0 }, calling)
      done.postCopy = true
    }
  }
  const running = (async () => {
    while (!over.signal.aborted) {
      await look().catch((error: unknown) =>
        ctx.log.debug({ vm: vmId, err: errorText(error) }, 'no word of a migration'),
      )
      // Sooner when it is cancelled.
      const wake = ctx.signal.aborted ? over.signal : AbortSignal.any([over.signal, ctx.signal])
      await delay(POLL_MS, wake).catch(() => undefined)
    }
  })()
  return {
    async stop() {
      over.abort()
      await running
    },
  }
}
