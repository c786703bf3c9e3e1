import type { ImageFormat, ImageFormatName } from './format.ts'
import { iso } from './iso.ts'
import { qcow2 } from './qcow2.ts'
import { raw } from './raw.ts'
import { vdi } from './vdi.ts'
import { vhdx } from './vhdx.ts'
import { vmdk } from './vmdk.ts'
import { vpc } from './vpc.ts'

/** Every format of image files. A new one is a file beside this one and a line here. */
export const IMAGE_FORMATS: readonly ImageFormat[] = [qcow2, raw, vmdk, vhdx, vpc, vdi, iso]

/** The format of that name. */
export function imageFormat(name: ImageFormatName): ImageFormat {
  const format = IMAGE_FORMATS.find((each) => each.name === name)
  if (format === undefined) throw new RangeError(`no image format ${name}`)
  return format
}
