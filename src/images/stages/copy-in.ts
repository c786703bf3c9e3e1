import type { DownloadRun, StagedImage } from '../download-stage.ts'
import { receivedNames, tempName } from '../image-target.ts'
import { openableSource, type LocalSource } from '../local-source.ts'
import { digestAlgorithms } from '../verify.ts'

/** Takes a copy of a local file into the target's directory; its space is promised before. Errors: SOURCE_NOT_FOUND, SOURCE_REFUSED, FILE_CHANGED, POOL_FULL and other errors of the pools. */
export async function copyIn(source: LocalSource, run: DownloadRun, freeBytes: number): Promise<StagedImage> {
  const { params, proof, target, client, ctx, deps } = run
  const from = await openableSource(source, target.jobId, deps.pools, ctx)
  const { sizeBytes, furtherBytes } = await client.look(from, ctx.signal)
  await run.space.take('source', sizeBytes, freeBytes, ctx)
  await run.space.take('further', furtherBytes, freeBytes, ctx)
  if (params.volume !== undefined) await run.space.take('volume', sizeBytes, freeBytes, ctx)
  const onEvent = ({ bytesReceived }: { readonly bytesReceived: number }) => {
    run.onBytes(bytesReceived)
    ctx.progress({ phase: 'downloading', bytesDone: bytesReceived, bytesTotal: sizeBytes })
  }
  onEvent({ bytesReceived: 0 })
  const temp = tempName(target, 'copy')
  const algorithms = digestAlgorithms(...proof.source, ...proof.final)
  const copied = await client.copy({ source: from, target, temp, algorithms }, onEvent, ctx.signal)
  return { temp, ...copied, source: { temp, ...copied, finalUrl: params.url } }
}

/** Takes what an upload has left in the target's directory. Errors: those of the pool. */
export async function takeUploaded(run: DownloadRun): Promise<StagedImage> {
  const { params, proof, target, client, ctx } = run
  const temp = receivedNames(target).file
  const onEvent = ({ bytesReceived }: { readonly bytesReceived: number }) =>
    ctx.progress({ phase: 'verifying', bytesDone: bytesReceived, bytesTotal: params.uploadBytes ?? bytesReceived })
  const algorithms = digestAlgorithms(...proof.source, ...proof.final)
  const taken = await client.seal({ target, temp, algorithms }, onEvent, ctx.signal)
  return { temp, ...taken, source: { temp, ...taken, finalUrl: params.url } }
}
