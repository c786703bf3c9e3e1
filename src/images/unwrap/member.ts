import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { SIGNATURE_BYTES, fileSignature } from '../file-signature.ts'
import { IMAGE_FORMATS } from '../formats/formats.ts'
import { isCompressed } from './decompress.ts'

/** How much of a member `isDiskMember` wants to see. */
export const MEMBER_HEAD_BYTES = SIGNATURE_BYTES

/**
 * Whether a member of an archive that begins with `head` is a disk image: by its content, and for a compressed one by its name too (`disk.vmdk.gz`). Descriptions, manifests, certificates and
 * NVRAM of a virtual appliance are none.
 */
export function isDiskMember(name: string, head: Buffer): boolean {
  const signature = fileSignature(head)
  if (IMAGE_FORMATS.some((format) => format.name === signature)) return true
  return isCompressed(signature) && /\.(qcow2|img|raw|vmdk|vdi|vhdx?|iso)\.\w+$/i.test(name)
}

/** The error for an archive that has not exactly one image. */
export function notOneImage(kind: string, images: readonly string[], others: number): AgentError {
  const what =
    images.length === 0 ? `no disk image among its ${others} files` : `several: ${images.map(quote).join(', ')}`
  return new AgentError(
    'WRAPPER_AMBIGUOUS',
    `the ${kind} archive must have exactly one disk image in it, but has ${what}`,
  )
}

/** The error for an archive that cannot be read on. */
export function damaged(kind: string, why: string): AgentError {
  return new AgentError('WRAPPER_DAMAGED', `the ${kind} archive cannot be read: ${why}`)
}
