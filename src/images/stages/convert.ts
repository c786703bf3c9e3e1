import { AgentError } from '../../core/errors.ts'
import type { DiskFormat } from '../../core/model.ts'
import type { CopyReport } from '../../storage/backend.ts'
import type { ConfinementKind } from '../../platform/confinement.ts'
import { copyImage } from '../../storage/copy-image.ts'
import { foreignDataBytes } from '../../storage/qemu-img-foreign.ts'
import { storedFormat } from '../convert/stored-format.ts'
import type { DownloadRun, DownloadStage, ForeignStaged, JudgedImage } from '../download-stage.ts'
import { imageFormat } from '../formats/formats.ts'
import { targetPlace } from '../full-target.ts'
import { tempName } from '../image-target.ts'
import { digestAlgorithms } from '../verify.ts'
import { judgeTemp } from './judge.ts'

/** Makes the format that is stored of any other, confined, and judges what came out; passes on what is stored as it is. Errors: POOL_FULL, those of copyImage and of `judge`. */
export const convert: DownloadStage<ForeignStaged, JudgedImage> = async (image, run) => {
  const { judged } = image
  const { params } = run
  const wanted = storedFormat(judged.format, params)
  if (wanted === undefined) return { ...image, facts: { ...judged, format: asStored(judged.format) } }
  const temp = tempName(run.target, 'converted')
  const converter = await convertTo(temp, wanted, image, run)
  const onEvent = () => undefined
  const { bytes, digests } = await run.client.seal(
    { target: run.target, temp, algorithms: digestAlgorithms() },
    onEvent,
    run.ctx.signal,
  )
  const result = await judgeTemp(temp, run)
  if (result.format !== wanted || result.virtualSizeBytes < judged.virtualSizeBytes) {
    throw new AgentError('INTERNAL', `qemu-img made another image of ${params.fileName} than it was asked for`)
  }
  const unwrapped = image.unwrapped ?? { temp: image.temp, bytes: image.bytes, digests: image.digests }
  return { ...image, temp, bytes, digests, unwrapped, converter, facts: { ...result, format: wanted } }
}

async function convertTo(
  temp: string,
  format: DiskFormat,
  image: ForeignStaged,
  run: DownloadRun,
): Promise<ConfinementKind> {
  const { target, client, ctx } = run
  const source = { path: `${target.directory}/${image.temp}`, driver: imageFormat(image.judged.format).driver }
  const needed = await foreignDataBytes(source, ctx)
  const { direct, freeBytes } = await client.create(target, temp, ctx.signal)
  // What is on disk by now is not free any more.
  run.space.release('source', 'further')
  await run.space.take('further', needed, freeBytes, ctx)
  const onCopy = ({ bytesDone, bytesTotal }: CopyReport) => {
    run.onBytes(bytesDone)
    ctx.progress({ phase: 'converting', bytesDone, bytesTotal })
  }
  const name = `image ${run.params.fileName} of ${targetPlace(run.params, target)}`
  const destination = { name, place: `${target.directory}/${temp}`, format, direct, ...compressionOf(run) }
  return copyImage({ place: source.path, format: source.driver }, destination, image.judged, ctx, { onCopy }).catch(
    async (error: unknown) => {
      await client.confirm(target, ctx.signal)
      throw error
    },
  )
}

function compressionOf({ params }: DownloadRun): { compression?: 'zstd' } {
  return params.compress === true ? { compression: 'zstd' } : {}
}

// An ISO is the content of a disk as it is.
function asStored(format: string): DiskFormat {
  return format === 'qcow2' ? 'qcow2' : 'raw'
}
