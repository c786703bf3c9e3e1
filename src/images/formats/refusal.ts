/** What is refused, what it means and what to do about it; the rows of the table in docs/images.md. */
export interface RefusalInfo {
  readonly meaning: string
  readonly remedy: string
}

const FLATTEN = 'Flatten it where its parts are: `qemu-img convert -O qcow2`.'
const FETCH_AGAIN = 'Compare size and checksum with the publisher and fetch it again.'
const REMAKE = 'Make it anew: `qemu-img convert -O qcow2` on a machine that you trust with it.'

const refusal = (meaning: string, remedy: string): RefusalInfo => ({ meaning, remedy })

/**
 * Every cause for which the gate refuses a file: `details.refusal` of IMAGE_NOT_AN_IMAGE and IMAGE_REFUSED. Stable: callers may act on them. One code means the same in every format.
 */
export const REFUSALS = {
  NOT_AN_IMAGE: refusal('The content is no disk image; the message says what it is.', 'Use the URL of the image.'),
  FORMAT_NOT_TAKEN: refusal(
    'A good image of a format that is not taken in this place.',
    'Import it first, which converts it, or convert it to qcow2.',
  ),
  NOT_A_FILE: refusal('A directory, device, socket or pipe.', 'Give a regular file.'),
  POLYGLOT: refusal(
    'The marks of two formats: what it is depends on who reads it.',
    'Make it anew with the tool of the one format that is meant.',
  ),
  TRUNCATED: refusal('The file ends before what its header speaks of.', FETCH_AGAIN),
  ODD_SIZE: refusal('A size that is no multiple of the sector size.', FETCH_AGAIN),
  BACKING_FILE: refusal(
    'It needs another file below it: a backing file, parent disk or snapshot chain. It could name any file of the host.',
    FLATTEN,
  ),
  DATA_FILE: refusal('A qcow2 that keeps its data in another file.', FLATTEN),
  EXTERNAL_EXTENT: refusal('A VMDK whose extents are other files or devices.', FLATTEN),
  ENCRYPTED: refusal('The content is encrypted.', 'Decrypt it: `qemu-img convert` with its key.'),
  UNCLEAN: refusal(
    'It was not closed in order: dirty mark, log to replay, saved state.',
    'Open and close it with the program that wrote it.',
  ),
  CORRUPT: refusal('It is marked as corrupt.', 'Repair it: `qemu-img check -r all`.'),
  UNSUPPORTED_VERSION: refusal('A version of the format that the agent does not know.', REMAKE),
  UNSUPPORTED_VARIANT: refusal('A variant of the format that the agent does not take.', REMAKE),
  UNKNOWN_FEATURE: refusal('It needs a feature that the agent does not know.', REMAKE),
  HEADER_INVALID: refusal('A field of the header has a value that no program writes.', REMAKE),
  EXTENSION_INVALID: refusal('A header extension or descriptor leaves its place or is malformed.', REMAKE),
  CHECKSUM_WRONG: refusal('A header does not match the checksum in it.', FETCH_AGAIN),
  COPIES_DISAGREE: refusal('Two copies of one header differ.', FETCH_AGAIN),
  CLUSTER_SIZE: refusal('A cluster, grain or block size out of range.', REMAKE),
  VIRTUAL_SIZE_ABSURD: refusal('A virtual size of nothing, or of more than 64 TiB.', REMAKE),
  VIRTUAL_SIZE_MISMATCH: refusal('Virtual size and tables, geometry or file size contradict each other.', REMAKE),
  TABLE_MISSING: refusal('A table that the format requires is not there.', REMAKE),
  TABLE_MISPLACED: refusal('A table begins where none can be: unaligned, or in the header.', REMAKE),
  TABLE_OVERLAP: refusal('Two tables, or a table and the header, share bytes.', REMAKE),
  TABLE_TOO_LARGE: refusal('A table larger than any real image has, made to exhaust memory or time.', REMAKE),
  TABLE_OUTSIDE_FILE: refusal('A table leaves the file: incomplete, or tampered with.', FETCH_AGAIN),
  DATA_OUTSIDE_FILE: refusal('A table entry points outside the file: incomplete, or tampered with.', FETCH_AGAIN),
  QEMU_REFUSED: refusal('`qemu-img`, told the format, refuses it; the message has its words.', REMAKE),
  QEMU_DISAGREES: refusal('`qemu-img` and the agent read the header differently.', REMAKE),
} as const satisfies Record<string, RefusalInfo>

/** A stable sub-reason: a key of the table above. */
export type RefusalCode = keyof typeof REFUSALS

/** Why a parser refuses a file; the text completes "image X …". The only error a parser throws. */
export class ImageRefusal extends Error {
  readonly code: RefusalCode

  constructor(code: RefusalCode, text: string) {
    super(text)
    this.name = 'ImageRefusal'
    this.code = code
  }
}

/** Throws ImageRefusal when `bad`. */
export function refuseIf(bad: boolean, code: RefusalCode, text: string): void {
  if (bad) throw new ImageRefusal(code, text)
}
