import { stat } from 'node:fs/promises'
import { delay } from '../platform/clock.ts'
import { listAuditFiles, readRawLines } from './audit-files.ts'
import { decodeLine, type AuditLine } from './audit-line.ts'

const POLL_MS = 500

/** The lines of the log, oldest first; bytes that are no line are left out (verifyAudit names them). With `follow` those to come too, until the signal fires. */
export async function* readAudit(
  directory: string,
  options: { readonly follow: boolean; readonly signal: AbortSignal },
): AsyncGenerator<AuditLine> {
  const read = new Map<string, number>()
  for (;;) {
    const files = await listAuditFiles(directory)
    for (const { path } of files) {
      const from = read.get(path) ?? 0
      if ((await stat(path)).size === from) continue
      let at = from
      for await (const { bytes, complete } of readRawLines(path, from)) {
        if (!complete) break
        at += bytes.length + 1
        read.set(path, at)
        const line = decodeLine(bytes)
        if (line !== undefined) yield line
      }
    }
    if (!options.follow) return
    try {
      await delay(POLL_MS, options.signal)
    } catch {
      // The caller has seen enough.
      return
    }
  }
}
