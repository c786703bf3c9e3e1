import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { readTextIfPresent } from '../platform/files.ts'
import type { ChainEnd } from './audit-line.ts'

/** One file of the log. */
export interface AuditFile {
  readonly path: string
  /** Number of its first line, by its name. */
  readonly first: number
}

/** Digits enough for a thousand lines a second for thirty years, so that names sort as numbers do. */
const SEQ_DIGITS = 12
const NAME = /^audit-(\d{12})\.jsonl$/

/** The file that begins with line `first`. */
export function auditFile(directory: string, first: number): AuditFile {
  return { path: path.join(directory, `audit-${String(first).padStart(SEQ_DIGITS, '0')}.jsonl`), first }
}

/** The log's files in their order; none when the directory is not there. */
export async function listAuditFiles(directory: string): Promise<AuditFile[]> {
  let names: string[]
  try {
    names = await readdir(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return names
    .flatMap((name) => {
      const first = NAME.exec(name)?.[1]
      return first === undefined ? [] : [auditFile(directory, Number(first))]
    })
    .sort((a, b) => a.first - b.first)
}

/** Where the end of the chain is kept: a log that was cut short at its end is known by it. */
export const headPath = (directory: string): string => path.join(directory, 'head')

/** The content of that file, always of one length, so that it is replaced in place. */
export function encodeHead(end: ChainEnd): string {
  return `${String(end.seq).padStart(SEQ_DIGITS, '0')} ${end.sha256}\n`
}

/** The kept end; undefined when there is none, or none that can be read. */
export async function readHead(directory: string): Promise<ChainEnd | undefined> {
  const parts = /^(\d{12}) ([0-9a-f]{64})\n$/.exec((await readTextIfPresent(headPath(directory))) ?? '')
  return parts?.[1] === undefined || parts[2] === undefined ? undefined : { seq: Number(parts[1]), sha256: parts[2] }
}

/** A line of a file; `complete` is false for bytes after the last line break. */
export interface RawLine {
  readonly bytes: Buffer
  readonly complete: boolean
}

/** The lines of a file from byte `start` on, without their line breaks. */
export async function* readRawLines(file: string, start = 0): AsyncGenerator<RawLine> {
  let rest: Buffer[] = []
  for await (const chunk of createReadStream(file, { start }) as AsyncIterable<Buffer>) {
    let at = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, at)) {
      const piece = chunk.subarray(at, end)
      yield { bytes: rest.length === 0 ? piece : Buffer.concat([...rest, piece]), complete: true }
      rest = []
      at = end + 1
    }
    if (at < chunk.length) rest.push(chunk.subarray(at))
  }
  if (rest.length > 0) yield { bytes: Buffer.concat(rest), complete: false }
}
