import { AgentError } from '../../core/errors.ts'
import type { DiskFormat } from '../../core/model.ts'
import type { ImageFormatName } from '../formats/format.ts'

/** What decides about the format an image is stored in. */
export interface StoredAs {
  readonly fileName: string
  /** As asked for. */
  readonly format?: DiskFormat
  readonly compress?: boolean
  /** The image becomes a volume. */
  readonly volume?: string
}

/**
 * The format an image of `format` has to be converted to, undefined when it is stored as it is. qcow2 and raw are what pools store; anything else becomes qcow2, or raw on its way into a volume. An ISO is
 * no disk: it is stored as it is, under a name that says so. Throws IMAGE_NOT_AN_IMAGE for an ISO under another name.
 */
export function storedFormat(format: ImageFormatName, as: StoredAs): DiskFormat | undefined {
  if (format === 'iso') {
    if (as.fileName.toLowerCase().endsWith('.iso') && as.volume === undefined) return undefined
    throw new AgentError(
      'IMAGE_NOT_AN_IMAGE',
      `${as.fileName} is an ISO image (a CD-ROM, not a disk); give it a file name that ends with .iso`,
    )
  }
  const usual = as.volume === undefined ? 'qcow2' : 'raw'
  const plain = format === 'qcow2' || format === 'raw'
  const wanted = as.format ?? (as.compress === true ? 'qcow2' : plain ? format : usual)
  return wanted === format && as.compress !== true ? undefined : wanted
}
