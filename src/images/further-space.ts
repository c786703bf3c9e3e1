import { fileSignature, type FileSignature } from './file-signature.ts'
import { isWrapper } from './unwrap/peel.ts'

/** Disk formats that are converted before they are stored. */
const CONVERTED: readonly FileSignature[] = ['vmdk', 'vhdx', 'vpc', 'vdi']
/** What a frame says of its content counts up to this times its size: it may be zeros, which take no space, or a lie. */
const MAX_TOLD = 4

/**
 * The least space, in bytes, that is needed beside a source of `totalBytes` that begins with `head`: for what is unpacked or converted out of it. 0 when it is stored as it comes. What is inside is not smaller than its
 * wrapper, and a converted disk has about as much data as the one it is made of; how much it really is is found later.
 */
export function furtherBytes(head: Buffer, totalBytes: number): number {
  const signature = fileSignature(head)
  if (signature === 'zstd') return Math.max(totalBytes, Math.min(zstdContentBytes(head), MAX_TOLD * totalBytes))
  return isWrapper(head) || CONVERTED.includes(signature) ? totalBytes : 0
}

/** The same by the name of a source of which no byte has come yet. */
export function furtherBytesByName(name: string, totalBytes: number): number {
  return /\.(gz|tgz|xz|txz|zst|bz2|tar|ova|zip|vmdk|vhdx?|vdi)$/i.test(name) ? totalBytes : 0
}

// Frame_Content_Size of the first frame (RFC 8878, 3.1.1.1); 0 when it is not told.
function zstdContentBytes(head: Buffer): number {
  if (head.length < 18) return 0
  const descriptor = head.readUInt8(4)
  const [flag, isSingle, dictionary] = [descriptor >> 6, (descriptor & 0x20) !== 0, descriptor & 3]
  const at = 5 + (isSingle ? 0 : 1) + ([0, 1, 2, 4][dictionary] ?? 0)
  if (flag === 0) return isSingle ? head.readUInt8(at) : 0
  if (flag === 1) return head.readUInt16LE(at) + 256
  return flag === 2 ? head.readUInt32LE(at) : Number(head.readBigUInt64LE(at))
}
