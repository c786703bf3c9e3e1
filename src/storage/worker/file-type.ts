import { closeSync, constants, openSync, readSync } from 'node:fs'
import { fileSignature, SIGNATURE_BYTES, type FileSignature } from '../../images/file-signature.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** Formats that show in the first bytes of a file beyond doubt, whatever its name. */
const BY_CONTENT: readonly FileSignature[] = ['qcow2', 'vmdk', 'vhdx', 'vpc', 'vdi', 'qed', 'iso']
/** What people, and file names, call a format that has another name in QEMU. */
const COMMON_NAMES: Readonly<Partial<Record<FileSignature, string>>> = { vpc: 'vhd' }

/** Names under which disk images go. Only files with these may be raw disks: two bytes of a boot sector prove little. */
const IMAGE_EXTENSIONS = ['qcow2', 'qcow', 'img', 'raw', 'vmdk', 'vhdx', 'vhd', 'vdi', 'qed', 'iso', 'bin', 'dd']

const head = Buffer.alloc(SIGNATURE_BYTES)

/** Extension in lower case, or '': what a file is by its name alone. */
export function extension(name: string): string {
  const dot = name.lastIndexOf('.')
  return dot <= 0 ? '' : name.slice(dot + 1).toLowerCase()
}

/** True when a file with this extension is expected to be a disk image. */
export function isImageExtension(type: string): boolean {
  return IMAGE_EXTENSIONS.includes(type)
}

/** What a file is by its first bytes (SIGNATURE_BYTES or all of it), and by its name where these say nothing. */
export function fileTypeOf(name: string, bytes: Uint8Array): string {
  const type = extension(name)
  const signature = fileSignature(bytes)
  if (BY_CONTENT.includes(signature)) return COMMON_NAMES[signature] ?? signature
  const mayBeRaw = type === '' || isImageExtension(type)
  if (mayBeRaw && signature === 'raw') return 'raw'
  return type === 'img' ? 'raw' : type
}

/** Looks into the regular file at `path`; undefined when it cannot be read. Blocks: for helpers. */
export function lookIntoFile(path: string, name: string): string | undefined {
  let fd: number
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch {
    // Gone or forbidden: its name has to do.
    return undefined
  }
  try {
    return fileTypeOf(name, head.subarray(0, readSync(fd, head, 0, head.length, 0)))
  } catch {
    return undefined
  } finally {
    closeSync(fd)
  }
}
