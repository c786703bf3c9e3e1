import { AgentError } from '../../core/errors.ts'
import type { DownloadRun, DownloadStage, ForeignStaged, StagedImage } from '../download-stage.ts'
import type { JudgedImage } from '../inspect.ts'

/** Lets only plain, whole images pass, of every known format. Errors: those of ImageInspector.judge and of openTarget. */
export const judge: DownloadStage<StagedImage, ForeignStaged> = async (image, run) => {
  const judged = await judgeTemp(image.temp, run)
  const { sourceFormat = judged.format, fileName } = run.params
  if (sourceFormat === judged.format) return { ...image, judged }
  throw new AgentError('IMAGE_NOT_AN_IMAGE', `the source of ${fileName} is ${judged.format}, not ${sourceFormat}`)
}

/** The verdict on a file of the job. */
export async function judgeTemp(temp: string, { target, client, ctx }: DownloadRun): Promise<JudgedImage> {
  return client.judge(`${target.directory}/${temp}`, ctx).catch(async (error: unknown) => {
    // It goes by the path. When that leads elsewhere by now, that is what went wrong, and not the image.
    await client.confirm(target, ctx.signal)
    throw error
  })
}
