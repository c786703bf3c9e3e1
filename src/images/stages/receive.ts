import { errorText, isAgentError } from '../../core/errors.ts'
import { connectionsOf } from '../download-plan.ts'
import type { DownloadRun, StagedImage } from '../download-stage.ts'
import { furtherBytesByName } from '../further-space.ts'
import type { SessionEvent, TransferOrder } from '../transfer-session.ts'
import { digestAlgorithms } from '../verify.ts'

/** Takes the bytes of the source into a durable file of the target's directory; the space for those that are missing, and the least for what is made of them, is promised before the first one. Errors: those of `transferImage`, POOL_FULL. */
export async function receive(run: DownloadRun, freeBytes: number): Promise<StagedImage> {
  const { params, target, client, ctx, space } = run
  let total: number | undefined
  const full = new AbortController()
  const signal = AbortSignal.any([ctx.signal, full.signal])
  const onEvent = (event: SessionEvent) => {
    if ('notice' in event) {
      ctx.log.warn({ file: params.fileName, ...event.facts }, event.notice)
      return
    }
    if ('furtherBytes' in event) {
      space.take('further', event.furtherBytes, freeBytes, ctx).catch((error: unknown) => full.abort(error))
      return
    }
    const { bytesReceived } = event
    run.onBytes(bytesReceived)
    ctx.progress({
      phase: 'downloading',
      bytesDone: bytesReceived,
      ...(total === undefined ? {} : { bytesTotal: total }),
    })
  }
  const leave = await shareBandwidth(run)
  try {
    return await receiveAll()
  } finally {
    leave?.()
  }

  async function receiveAll(): Promise<StagedImage> {
    const { from, totalLength, furtherBytes } = await client.open(orderOf(run), onEvent, signal)
    total = totalLength
    if (from > 0) ctx.log.info({ file: params.fileName, from, total }, 'going on with what an earlier run received')
    if (total !== undefined) {
      await space.take('source', total - from, freeBytes, ctx)
      const name = URL.parse(params.url)?.pathname ?? ''
      await space.take('further', furtherBytes ?? furtherBytesByName(name, total), freeBytes, ctx)
      if (params.volume !== undefined) await space.take('volume', total, freeBytes, ctx)
    }
    onEvent({ bytesReceived: from, bytesDurable: from })
    const { temp, bytes, digests, finalUrl } = await client.transfer(target.jobId, onEvent, signal)
    const source = { temp, bytes, digests, finalUrl }
    return { temp, bytes, digests, source }
  }
}

function shareBandwidth({ params, client, ctx, deps }: DownloadRun): Promise<() => void> | undefined {
  return deps.bandwidth?.join(ctx.id, params.poolId, (share) => {
    // A worker that cannot be told any more has nothing left to pace.
    client.pace(ctx.id, share, ctx.signal).catch((error: unknown) => {
      ctx.log.debug({ err: errorText(error) }, 'the rate of a download could not be set')
    })
  })
}

/** True when what was received is of use to a later run of the job: the agent is stopping. */
export function isInterrupted(signal: AbortSignal): boolean {
  return signal.aborted && isAgentError(signal.reason, 'SHUTTING_DOWN')
}

function orderOf({ params, proof, rules, target, deps }: DownloadRun): TransferOrder {
  const expected = proof.source
  const { stallTimeoutMs, patienceMs } = deps.settings
  return {
    target,
    urls: [params.url, ...(params.mirrors ?? [])],
    algorithms: digestAlgorithms(...expected, ...proof.final),
    innerAlgorithms: digestAlgorithms(...proof.final),
    stallTimeoutMs,
    patienceMs,
    connections: connectionsOf(params, deps.settings),
    expected,
    // What is proven by a checksum may come over any connection.
    fetch: { ...rules, allowDowngrade: expected.length > 0 },
  }
}
