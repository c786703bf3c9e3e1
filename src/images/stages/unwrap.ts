import type { DownloadStage } from '../download-stage.ts'
import { unwrappedName } from '../image-target.ts'
import { digestAlgorithms } from '../verify.ts'

/** Takes the disk image out of a compressed file or an archive, or waits for what was begun while it was received; passes on what is not wrapped. Errors: those of unwrapFile. */
export const unwrap: DownloadStage = async (image, run) => {
  const { params, proof, target, client, ctx } = run
  const total = image.source.bytes
  const onEvent = ({ bytesReceived }: { readonly bytesReceived: number }) => {
    run.onBytes(bytesReceived)
    ctx.progress({ phase: 'converting', bytesDone: bytesReceived, bytesTotal: total })
  }
  const order = { target, from: image.temp, algorithms: digestAlgorithms(...proof.final) }
  const inside = await client.unwrap(order, onEvent, ctx.signal)
  if (inside === undefined) return image
  const { layers, bytes, digests } = inside
  ctx.log.info({ path: params.fileName, layers, bytes }, 'took the image out of its wrapper')
  const unwrapped = { temp: unwrappedName(target), bytes, digests }
  return { ...image, ...unwrapped, unwrapped, layers }
}
