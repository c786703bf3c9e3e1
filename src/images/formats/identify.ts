import { describeSignature, fileMarks } from '../file-signature.ts'
import type { ImageFormat } from './format.ts'
import { imageFormat } from './formats.ts'
import { ImageRefusal } from './refusal.ts'

/**
 * The one format of a file by the marks in its first and last bytes. Throws ImageRefusal: NOT_AN_IMAGE, or POLYGLOT when what the file is would depend on who reads it.
 */
export function identify(head: Buffer, tail?: Buffer): ImageFormat {
  const { images, other } = fileMarks(head, tail)
  const found = images.map(imageFormat)
  const whole = found.find(({ name, carries }) => images.every((each) => each === name || carries.includes(each)))
  if (whole !== undefined && other === undefined) return whole
  if (other !== undefined && found.every(({ weak }) => weak)) {
    throw new ImageRefusal('NOT_AN_IMAGE', `is no disk image: it is ${describeSignature(other)}`)
  }
  const kinds = [...images, ...(other === undefined ? [] : [other])].map(describeSignature)
  throw new ImageRefusal('POLYGLOT', `pretends to be ${kinds.join(' and ')} at the same time`)
}
