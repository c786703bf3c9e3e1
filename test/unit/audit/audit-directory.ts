import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { AuditLog } from '../../../src/audit/audit-log.ts'
import type { AuditLine } from '../../../src/audit/audit-line.ts'
import { readAudit } from '../../../src/audit/read-audit.ts'
import { silentLogger } from '../../../src/core/context.ts'

const made: string[] = []

/** A path for a log, in a directory of its own that is gone after the tests of the file. */
export async function auditDirectory(): Promise<string> {
  const parent = await mkdtemp(path.join(tmpdir(), 'lqx-audit-'))
  made.push(parent)
  return path.join(parent, 'audit')
}

/** Removes them. */
export async function removeAuditDirectories(): Promise<void> {
  for (const parent of made.splice(0)) await rm(parent, { recursive: true, force: true })
}

/** A writer in `directory`. */
export function openLog(directory: string, options: { maxFileBytes?: number; keepFiles?: number } = {}): AuditLog {
  return new AuditLog({ directory, maxFileBytes: 1 << 26, keepFiles: 16, log: silentLogger, ...options })
}

/** Line `n` of a test. */
export const numbered = (n: number) =>
  ({
    type: 'refused',
    result: 'VM_NOT_FOUND',
    caller: { via: 'http', peer: '192.0.2.1' },
    method: 'StartVM',
    objects: { vmId: String(n) },
  }) as const

/** Every line of the log. */
export async function linesOf(directory: string): Promise<AuditLine[]> {
  const lines: AuditLine[] = []
  const signal = new AbortController().signal
  for await (const line of readAudit(directory, { follow: false, signal })) lines.push(line)
  return lines
}

/** The numbers that `numbered` lines carry, in their order. */
export async function numbersOf(directory: string): Promise<number[]> {
  return (await linesOf(directory)).flatMap((line) => (line.type === 'refused' ? [Number(line.objects['vmId'])] : []))
}

/** The files of the log with their content. */
export async function filesOf(directory: string): Promise<{ path: string; text: string }[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.jsonl')).sort()
  return Promise.all(
    names.map(async (name) => {
      const file = path.join(directory, name)
      return { path: file, text: await readFile(file, 'utf8') }
    }),
  )
}
