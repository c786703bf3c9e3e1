import { open } from 'node:fs/promises'
import type { AuditEvent, ChainEnd } from './audit-line.ts'
import { CHAIN_START, decodeLine, sha256 } from './audit-line.ts'
import { auditFile, listAuditFiles, readHead, type AuditFile } from './audit-files.ts'

/** Where a log that an earlier run left goes on. */
export interface AuditTail {
  readonly file: AuditFile
  /** Bytes of the file that stay; what is behind them is an unfinished line. */
  readonly sizeBytes: number
  /** The last of them are a line that lacks nothing but its line break. */
  readonly lacksBreak: boolean
  readonly end: ChainEnd
  /** What the next lines have to tell about how it was found. */
  readonly findings: readonly AuditEvent[]
}

/** Far longer than any line. */
const TAIL_BYTES = 256 * 1024

/** Finds the end of the log in `directory`. Changes nothing. */
export async function findAuditTail(directory: string): Promise<AuditTail> {
  const [files, head] = [await listAuditFiles(directory), await readHead(directory)]
  const findings: AuditEvent[] = []
  // A file without a finished line is that of a crash right after a rotation: the one before has the end.
  for (const [back, file] of files.toReversed().entries()) {
    const { size, lastLine, rest } = await readTail(file)
    const lacksBreak = rest.length > 0 && decodeLine(rest) !== undefined
    const last = lacksBreak ? rest : lastLine
    if (rest.length > 0 && !lacksBreak) findings.push({ type: 'recovered', bytes: rest.length, sha256: sha256(rest) })
    if (last === undefined) continue
    const place =
      back === 0
        ? { file, sizeBytes: lacksBreak ? size : size - rest.length, lacksBreak }
        : { file: files.at(-1) ?? file, sizeBytes: 0, lacksBreak: false }
    return { ...place, ...judged(last, head, findings) }
  }
  const { end } = judged(undefined, head, findings)
  return { file: files.at(-1) ?? auditFile(directory, end.seq + 1), sizeBytes: 0, lacksBreak: false, end, findings }
}

function judged(last: Buffer | undefined, head: ChainEnd | undefined, findings: AuditEvent[]) {
  const broken = (problem: string) => void findings.push({ type: 'broken', problem })
  if (last === undefined) {
    if (head !== undefined && head.seq > 0) broken(`no line is left of ${head.seq}`)
    return { end: { ...CHAIN_START, seq: head?.seq ?? 0 }, findings }
  }
  const line = decodeLine(last)
  const end = { seq: Math.max(line?.seq ?? 0, head?.seq ?? 0), sha256: sha256(last) }
  if (line === undefined) broken('the last line is not one of this log')
  else if (head === undefined) broken('the file with the end of the chain is missing or damaged')
  else if (line.seq < head.seq) broken(`the lines ${line.seq + 1} to ${head.seq} are missing`)
  else if (line.seq === head.seq && end.sha256 !== head.sha256) broken(`line ${line.seq} was changed`)
  return { end, findings }
}

async function readTail({ path }: AuditFile): Promise<{ size: number; lastLine: Buffer | undefined; rest: Buffer }> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const length = Math.min(size, TAIL_BYTES)
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length)
    const tail = buffer.subarray(0, bytesRead)
    const end = tail.lastIndexOf(10)
    if (end === -1) return { size, lastLine: undefined, rest: tail }
    const begin = end === 0 ? -1 : tail.lastIndexOf(10, end - 1)
    return { size, lastLine: tail.subarray(begin + 1, end), rest: tail.subarray(end + 1) }
  } finally {
    await handle.close()
  }
}
