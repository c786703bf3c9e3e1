import { createHash } from 'node:crypto'

/** Instead of the address of a peer that cannot be told any more. */
export const GONE = 'gone'

/** Who asked. What cannot be known is absent. */
export interface AuditCaller {
  /** `unix` is the agent's own socket, which only root reaches. */
  readonly via: 'grpc' | 'http' | 'unix'
  /** IP address of the peer; `gone` when the connection was reset before it could be told. Absent for `unix` alone. */
  readonly peer?: string
  /** Subject of the client certificate that the peer proved. */
  readonly subject?: string
  /** Whom the command on this host says it runs for; a claim of root's. */
  readonly user?: string
}

/** A call that changes something: its name and the ids of what it is about, never its other contents. */
export interface AuditCall {
  readonly caller: AuditCaller
  /** RPC name, or method and route pattern. */
  readonly method: string
  readonly objects: Readonly<Record<string, string>>
}

/** What one line tells, besides its place in the chain. */
export type AuditEvent =
  | ({ readonly type: 'call'; readonly id: string } & AuditCall)
  /** `id` is that of the call. `result` is OK or the reason of the error. */
  | ({ readonly type: 'result'; readonly id: string; readonly result: string; readonly durationMs: number } & AuditCall)
  /** Turned away before it could begin. */
  | ({ readonly type: 'refused'; readonly result: string } & AuditCall)
  | { readonly type: 'started'; readonly version: string; readonly pid: number }
  /** First line of each file but the first: older files than the one that begins with line `oldest` are gone on purpose. */
  | { readonly type: 'rotated'; readonly oldest: number }
  /** A crash left an unfinished line behind; its bytes were cut off. */
  | { readonly type: 'recovered'; readonly bytes: number; readonly sha256: string }
  /** What was there did not fit together; the chain goes on from here. */
  | { readonly type: 'broken'; readonly problem: string }
  /** Lines that could not be written, for example because the disk was full. */
  | { readonly type: 'lost'; readonly count: number; readonly since: string }

/** One line of the audit log. */
export type AuditLine = {
  /** 1, 2, 3, … without a gap. */
  readonly seq: number
  /** SHA-256 (hex) of the bytes of the line before, without its line break; 64 zeros before the first. */
  readonly prev: string
  /** When, in UTC. */
  readonly time: string
} & AuditEvent

/** The end of the chain: the last line's number and digest. */
export interface ChainEnd {
  readonly seq: number
  readonly sha256: string
}

/** What the first line follows. */
export const CHAIN_START: ChainEnd = { seq: 0, sha256: '0'.repeat(64) }

/** The bytes of the line that follows `end` (without line break), and the end that it makes. */
export function encodeLine(end: ChainEnd, time: string, event: AuditEvent): { text: string; end: ChainEnd } {
  const seq = end.seq + 1
  const text = JSON.stringify({ seq, prev: end.sha256, time, ...event } satisfies AuditLine)
  return { text, end: { seq, sha256: sha256(text) } }
}

/** The line that `bytes` are, or undefined when they are none. */
export function decodeLine(bytes: Uint8Array): AuditLine | undefined {
  try {
    const line = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<AuditLine> | null
    const isLine =
      typeof line === 'object' &&
      line !== null &&
      Number.isSafeInteger(line.seq) &&
      typeof line.prev === 'string' &&
      typeof line.time === 'string' &&
      typeof line.type === 'string'
    return isLine ? (line as AuditLine) : undefined
  } catch {
    return undefined
  }
}

/** SHA-256 in hexadecimal. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
