import { AgentError, isAgentError } from '../../core/errors.ts'
import type { DownloadResult, DownloadRun } from '../download-stage.ts'
import type { TransferEvent } from '../image-fetch.ts'
import { imagePath, type ExistingImage } from '../image-target.ts'
import type { ImageFacts } from '../inspect.ts'
import { answersRequest, newManifest, type ImageManifest } from '../manifest.ts'
import { digestAlgorithms } from '../verify.ts'

/** A file in the image's place: ours and what is asked for, or proven to be it, or IMAGE_CONFLICT. It is never replaced. */
export async function reuseExisting(existing: ExistingImage, run: DownloadRun): Promise<DownloadResult> {
  const { params, proof, target, client, ctx, deps } = run
  const { manifest } = existing
  if (isUnproven(run, manifest?.jobId)) throw conflict(imagePath(target), UNPROVEN)
  const answer = manifest === undefined ? 'unknown' : answersRequest(manifest, params.url, proof)
  if (manifest !== undefined && answer === 'yes') return { ...pick(manifest), digests: manifest.digests, reused: true }
  if (answer === 'no') throw conflict(imagePath(target), 'it was made from another URL or has another checksum')
  const facts = await client.inspect(imagePath(target), ctx).catch((error: unknown) => {
    if (!isAgentError(error, 'IMAGE_REFUSED', 'IMAGE_NOT_AN_IMAGE')) throw error
    throw conflict(imagePath(target), `it is no usable image (${error.message})`)
  })
  // A file without a record can only be proven when it is the source and the image in one.
  const expected = [...proof.source, ...proof.final]
  if (expected.length === 0) return { ...pick(facts), digests: {}, reused: true }
  const onEvent = ({ bytesReceived }: TransferEvent) =>
    ctx.progress({ phase: 'verifying', bytesDone: bytesReceived, bytesTotal: existing.sizeBytes })
  onEvent({ bytesReceived: 0, bytesDurable: 0 })
  const digests = await client.hash(target, digestAlgorithms(...expected), onEvent, ctx.signal)
  const other = expected.find(({ algorithm, hex }) => digests[algorithm] !== hex)
  if (other !== undefined) throw conflict(imagePath(target), `its ${other.algorithm} is another one`)
  const record = newManifest({ jobId: target.jobId, url: params.url, proof, deps }, { facts, digests, finalUrl: '' })
  await client.adopt(target, { ...record, mtimeMs: existing.mtimeMs }, ctx.signal)
  return { ...pick(facts), digests, reused: true }
}

/** The volume in the image's place, if there is one; errors of ImageVolumes.existing. */
export async function reuseVolume(run: DownloadRun): Promise<DownloadResult | undefined> {
  const { params, proof, deps, ctx } = run
  const { volume, poolId } = params
  const before = volume === undefined ? undefined : await deps.volumes.existing({ ...params, volume }, proof, ctx)
  if (before === undefined) return undefined
  if (isUnproven(run, before.jobId)) throw conflict(`volume ${volume} of pool ${poolId}`, UNPROVEN)
  return { ...pick(before), digests: before.digests ?? {}, reused: true }
}

const UNPROVEN = 'it was there before, and without a checksum nothing tells whether it is the same'

// The name of a local file or of an upload says nothing about its bytes, as a URL does.
function isUnproven({ params, proof, target }: DownloadRun, madeBy: string | undefined): boolean {
  const isNamed = params.source !== undefined || params.uploadBytes !== undefined
  return isNamed && madeBy !== target.jobId && proof.source.length + proof.final.length === 0
}

function pick(of: ImageFacts | ImageManifest): Pick<DownloadResult, 'format' | 'virtualSizeBytes' | 'sizeBytes'> {
  const sizeBytes = 'fileSizeBytes' in of ? of.fileSizeBytes : of.sizeBytes
  return { format: of.format, virtualSizeBytes: of.virtualSizeBytes, sizeBytes }
}

function conflict(what: string, why: string): AgentError {
  return new AgentError(
    'IMAGE_CONFLICT',
    `${what} is another one than the image asked for: ${why}; move it away or use another file name`,
  )
}
