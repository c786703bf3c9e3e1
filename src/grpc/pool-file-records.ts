import { isoTime } from '../core/iso-time.ts'
import type { PoolFile } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'

// Field numbers of StoragePoolFileEntry, and `entries` of ListStoragePoolFilesResponse, with their wire types (protobuf encoding: number << 3 | type).
const LENGTH_DELIMITED = 2
const tag = (field: number, wireType: number) => String.fromCharCode((field << 3) | wireType)
const [ENTRIES, NAME, PATH, MODIFIED_AT, FILE_TYPE, PERMISSIONS] = [1, 1, 2, 5, 6, 7].map((field) =>
  tag(field, LENGTH_DELIMITED),
)
const [IS_DIRECTORY, SIZE_BYTES] = [tag(3, 0), tag(4, 0)]

const ASCII = /^[\0-\x7f]*$/

/** Entries as records of `entries` of a ListStoragePoolFilesResponse. By hand, as texts with a character per byte: a tenth of the time of the general encoder, which counts a hundred thousand times. */
export function encodeFilesAsRecords(files: readonly PoolFile[]): Buffer {
  return Buffer.from(files.map((file) => field(ENTRIES, entryBytes(file))).join(''), 'latin1')
}

function entryBytes(entry: PoolFile): string {
  const size = entry.isDirectory ? 0 : toUnsigned(entry.sizeBytes)
  return (
    field(NAME, utf8(entry.name)) +
    field(PATH, utf8(entry.path)) +
    (entry.isDirectory ? `${IS_DIRECTORY}\x01` : '') +
    (size === 0 ? '' : SIZE_BYTES + varint(size)) +
    field(MODIFIED_AT, isoTime(entry.modifiedAt)) +
    field(FILE_TYPE, utf8(entry.fileType)) +
    field(PERMISSIONS, entry.permissions)
  )
}

function field(name: string | undefined, bytes: string): string {
  return bytes === '' ? '' : `${name}${varint(bytes.length)}${bytes}`
}

function varint(value: number): string {
  let bytes = ''
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes += String.fromCharCode((rest % 128) | 128)
  return bytes + String.fromCharCode(rest)
}

function utf8(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text).toString('latin1')
}
