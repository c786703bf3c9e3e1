import type { AuditLine } from '../audit/audit-line.ts'
import { readAudit } from '../audit/read-audit.ts'
import { verifyAudit } from '../audit/verify-audit.ts'
import { AgentError } from '../core/errors.ts'
import type { Print } from './command-line.ts'

/** What of the log is shown. */
export interface AuditQuery {
  readonly json: boolean
  readonly follow: boolean
  /** Only the last so many lines of the output; all when undefined. */
  readonly limit: number | undefined
  /** Only calls whose method has this text in it. */
  readonly method: string | undefined
  /** Only calls about an object with this id. */
  readonly object: string | undefined
  readonly signal: AbortSignal
}

/** Checks the whole chain and prints what it found. AUDIT_BROKEN when something is not as the agent wrote it. */
export async function auditVerify(directory: string, json: boolean, print: Print): Promise<void> {
  const verdict = await verifyAudit(directory)
  const { files, lines, first, last, problems, notes } = verdict
  if (json) print(`${JSON.stringify(verdict)}\n`)
  else {
    for (const problem of problems) print(`problem: ${problem}\n`)
    for (const note of notes) print(`note: ${note}\n`)
    print(lines === 0 ? `no lines in ${directory}\n` : `${lines} lines (${first} to ${last}) in ${files} files\n`)
  }
  if (problems.length > 0) throw new AgentError('AUDIT_BROKEN', `the audit log in ${directory} is not whole`)
  if (!json) print('the chain is whole\n')
}

/** Prints calls, oldest first: each once, with its result; those without one yet come last. */
export async function auditShow(directory: string, query: AuditQuery, print: Print): Promise<void> {
  const open = new Map<string, AuditLine>()
  const kept: string[] = []
  const out = (line: AuditLine) => {
    const text = query.json ? `${JSON.stringify(line)}\n` : `${lineText(line)}\n`
    if (query.follow || query.limit === undefined) print(text)
    else {
      kept.push(text)
      if (kept.length > query.limit) kept.shift()
    }
  }
  for await (const line of readAudit(directory, query)) {
    if (!matches(line, query)) continue
    if (line.type === 'call' && !query.json && !query.follow) open.set(line.id, line)
    else {
      if (line.type === 'result') open.delete(line.id)
      out(line)
    }
  }
  for (const line of open.values()) out(line)
  for (const text of kept) print(text)
}

function matches(line: AuditLine, { method, object }: AuditQuery): boolean {
  if (!('method' in line)) return method === undefined && object === undefined
  if (method !== undefined && !line.method.toLowerCase().includes(method.toLowerCase())) return false
  return object === undefined || Object.values(line.objects).includes(object)
}

function lineText(line: AuditLine): string {
  const start = `${line.time} #${line.seq}`
  if (!('method' in line)) {
    const { seq: _seq, prev: _prev, time: _time, type, ...facts } = line
    return `${start} -- ${type} ${pairs(facts)}`
  }
  const { via, peer, subject, user } = line.caller
  const who = [peer ?? via, subject, user].filter((part) => part !== undefined).join(' ')
  const end = line.type === 'call' ? '(no result)' : line.result
  const took = line.type === 'result' ? ` ${line.durationMs} ms` : ''
  return `${start} ${line.method} ${pairs(line.objects)} by ${who}: ${end}${took}`.replace(/ {2,}/g, ' ')
}

// A value may hold anything that a caller sent.
const pairs = (facts: object) =>
  Object.entries(facts)
    .map(([name, value]) => `${name}=${/^[\w.:/@+-]*$/.test(String(value)) ? String(value) : JSON.stringify(value)}`)
    .join(' ')
