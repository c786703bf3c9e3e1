import type { DownloadStage } from '../download-stage.ts'
import { checkDigest } from '../verify.ts'

/** Holds the received bytes against what the request, or the sums it names, say they are. Error: CHECKSUM_MISMATCH. */
export const prove: DownloadStage = async (image, { params, proof, ctx }) => {
  const { bytes, digests } = image.source
  ctx.progress({ phase: 'verifying', bytesDone: bytes, bytesTotal: bytes })
  for (const expected of proof.source) checkDigest(digests, expected, params.url)
  return image
}

/** Holds the disk image inside against what the request says it is, before it is converted. Error: CHECKSUM_MISMATCH. */
export const proveFinal: DownloadStage = async (image, { params, proof }) => {
  for (const expected of proof.final) checkDigest(image.digests, expected, params.url, 'the image in ')
  return image
}
