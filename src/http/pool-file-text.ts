import { isoTime } from '../core/iso-time.ts'
import type { PoolFile } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'

/** What JSON takes as it stands. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** Entries as in the list of `GET …/files`, with commas between them. By hand: a fifth of the time of JSON.stringify, which counts a hundred thousand times. */
export function encodeFilesAsJson(files: readonly PoolFile[]): Buffer {
  return Buffer.from(files.map(entryText).join(','))
}

function entryText(entry: PoolFile): string {
  const { isDirectory } = entry
  const sizeBytes = isDirectory ? 0 : toUnsigned(entry.sizeBytes)
  return (
    `{"name":${quoted(entry.name)},"path":${quoted(entry.path)},"isDirectory":${isDirectory},"sizeBytes":${sizeBytes},` +
    `"modifiedAt":"${isoTime(entry.modifiedAt)}","fileType":${quoted(entry.fileType)},"permissions":"${entry.permissions}"}`
  )
}

function quoted(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}
