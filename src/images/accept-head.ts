import { IMAGE_FORMATS } from './formats/formats.ts'
import { judgeImageHead } from './image-header.ts'
import { isWrapper } from './unwrap/peel.ts'

const ALL_FORMATS = IMAGE_FORMATS.map(({ name }) => name)

/** The early verdict on the first bytes of a source: a wrapped file is judged when it was taken out, any other must be an image now. Errors: those of judgeImageHead. */
export function acceptHead(head: Buffer, totalBytes: number | undefined, name: string): void {
  if (!isWrapper(head)) judgeImageHead(head, totalBytes, name, ALL_FORMATS)
}
