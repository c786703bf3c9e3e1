import { isAgentError } from '../../core/errors.ts'
import type { DownloadResult, DownloadRun, JudgedImage } from '../download-stage.ts'
import type { CopyReport } from '../../storage/backend.ts'
import { qemuImgVersion } from '../../storage/qemu-img.ts'
import { inTarget } from '../full-target.ts'
import { newManifest } from '../manifest.ts'
import { reuseVolume } from './reuse.ts'

/** Gives the image its place: the name of a file, or a volume. Errors: those of publishImage and of ImageVolumes.publish, IMAGE_CONFLICT. */
export async function publish(image: JudgedImage, run: DownloadRun): Promise<DownloadResult> {
  const { params, proof, target, client, ctx, deps } = run
  const { facts, bytes, digests, source } = image
  const { volume } = params
  const finalUrl = source.finalUrl
  const tools = { 'qemu-img': await qemuImgVersion(ctx) }
  const manifest = newManifest({ jobId: target.jobId, url: params.url, proof, deps }, { ...image, finalUrl, tools })
  ctx.progress({ phase: volume === undefined ? 'publishing' : 'converting', bytesDone: bytes, bytesTotal: bytes })
  let confinement = image.converter
  if (volume === undefined) await inTarget(run, () => client.publish(target, image.temp, manifest, ctx.signal))
  else {
    // It is promised again, when it is known how much is in it.
    run.space.release('volume')
    const onCopy = (copy: CopyReport) => {
      const { bytesDone, bytesTotal } = copy
      confinement = copy.confinement
      run.onBytes(bytesDone)
      // What comes after the last byte is that the volume becomes durable and gets its name.
      ctx.progress({ phase: bytesDone < bytesTotal ? 'converting' : 'publishing', bytesDone, bytesTotal })
    }
    const file = `${target.directory}/${image.temp}`
    try {
      await deps.volumes.publish({ ...params, volume }, file, manifest, ctx, onCopy)
    } catch (error) {
      if (!isAgentError(error, 'VOLUME_CONFLICT', 'CONFLICT')) throw error
      // Another host of the pool was faster with the same image, or with another one.
      const made = await reuseVolume(run)
      if (made === undefined) throw error
      return made
    }
  }
  return {
    format: facts.format,
    virtualSizeBytes: facts.virtualSizeBytes,
    sizeBytes: facts.fileSizeBytes,
    digests,
    reused: false,
    ...(confinement === undefined ? {} : { confinement }),
  }
}
