import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { AgentError, errorText } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { DiskFormat } from '../core/model.ts'
import { describeSignature, fileSignature, SIGNATURE_BYTES } from './file-signature.ts'
import { MAX_VIRTUAL_SIZE_BYTES, parseQcow2Header, QCOW2_HEADER_BYTES, Qcow2Refusal } from './qcow2-header.ts'

/** What the file itself says, read by our own parsers. */
export interface ImageHeader {
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly fileSizeBytes: number
}

/**
 * Reads and judges the header of `file`. Blocking pool I/O: for worker processes. Errors: FILE_NOT_FOUND, IMAGE_NOT_AN_IMAGE (something else, for
 * example a web page), IMAGE_REFUSED (an image with features that are not allowed).
 */
export async function readImageHeader(file: string): Promise<ImageHeader> {
  const handle = await openRegular(file)
  try {
    const { size } = await handle.stat()
    const head = Buffer.alloc(Math.min(size, Math.max(SIGNATURE_BYTES, QCOW2_HEADER_BYTES)))
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    return judgeImageHeader(head.subarray(0, bytesRead), size, file)
  } finally {
    await handle.close()
  }
}

/** The verdict on a file of `fileSizeBytes` that begins with `head`; `name` is for the error text. Errors as readImageHeader. */
export function judgeImageHeader(head: Buffer, fileSizeBytes: number, name: string): ImageHeader {
  const signature = fileSignature(head)
  if (signature === 'qcow2') {
    try {
      const { virtualSizeBytes } = parseQcow2Header(head, fileSizeBytes)
      return { format: 'qcow2', virtualSizeBytes, fileSizeBytes }
    } catch (error) {
      if (error instanceof Qcow2Refusal) throw refused(name, error.message)
      throw error
    }
  }
  if (signature !== 'raw-disk') {
    throw new AgentError('IMAGE_NOT_AN_IMAGE', `${quote(name)} is no disk image: it is ${describeSignature(signature)}`)
  }
  if (fileSizeBytes % 512 !== 0) throw refused(name, 'is a raw disk whose size is no multiple of 512: it is incomplete')
  if (fileSizeBytes > MAX_VIRTUAL_SIZE_BYTES) throw refused(name, `has an absurd size of ${fileSizeBytes} bytes`)
  const diskBytes = gptDiskBytes(head)
  if (diskBytes > fileSizeBytes) {
    throw refused(
      name,
      `is incomplete: its partition table is for ${diskBytes} bytes, the file has only ${fileSizeBytes}`,
    )
  }
  return { format: 'raw', virtualSizeBytes: fileSizeBytes, fileSizeBytes }
}

// The GPT says where its second copy is: the last sector of the disk. 0 when there is no GPT with sectors of 512 bytes.
function gptDiskBytes(head: Buffer): number {
  if (head.length < 1024 || head.toString('latin1', 512, 520) !== 'EFI PART') return 0
  const alternate = head.readBigUInt64LE(512 + 32)
  return alternate >= 2n ** 44n ? Number.MAX_SAFE_INTEGER : (Number(alternate) + 1) * 512
}

async function openRegular(file: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    // Without O_NONBLOCK the open of a FIFO waits for its writer for ever.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new AgentError('FILE_NOT_FOUND', `image ${quote(file)} is not there`, { cause: error })
    }
    throw new AgentError('POOL_IO_ERROR', `image ${quote(file)} cannot be opened: ${errorText(error)}`, {
      cause: error,
    })
  }
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw refused(file, 'is not a regular file')
}

function refused(name: string, text: string): AgentError {
  return new AgentError('IMAGE_REFUSED', `image ${quote(name)} ${text}`)
}
