import { listAuditFiles, readHead, readRawLines } from './audit-files.ts'
import { CHAIN_START, decodeLine, sha256, type AuditLine, type ChainEnd } from './audit-line.ts'

/** What a check of the whole log found. */
export interface AuditVerdict {
  readonly files: number
  readonly lines: number
  /** Numbers of the first and the last line; 0 without any. */
  readonly first: number
  readonly last: number
  /** Each place where the log is not what the agent wrote; at most 100. */
  readonly problems: readonly string[]
  /** What the agent itself wrote down about crashes and full disks. */
  readonly notes: readonly string[]
}

const MAX_PROBLEMS = 100

/** Checks every line of the log in `directory` against the one before, and its end against the kept one. The agent may be writing meanwhile. */
export async function verifyAudit(directory: string): Promise<AuditVerdict> {
  // First: what is written from now on is behind it.
  const head = await readHead(directory)
  const files = await listAuditFiles(directory)
  const check = new ChainCheck(head)
  for (const [index, file] of files.entries()) {
    const name = file.path.slice(file.path.lastIndexOf('/') + 1)
    let number = 0
    for await (const { bytes, complete } of readRawLines(file.path)) {
      number++
      const place = `${name}:${number}`
      if (complete) check.line(bytes, place, number === 1 ? file.first : undefined)
      else if (index === files.length - 1) check.note(`${place}: unfinished line of ${bytes.length} bytes`)
      else check.problem(`${place}: the last line has no end`)
    }
  }
  check.finish()
  const { problems, notes, lines, first, last } = check
  return { files: files.length, lines, first, last, problems, notes }
}

class ChainCheck {
  readonly problems: string[] = []
  readonly notes: string[] = []
  lines = 0
  first = 0
  readonly #head: ChainEnd | undefined
  #end: ChainEnd | undefined
  #headSeen = false
  #oldestAllowed = 1

  constructor(head: ChainEnd | undefined) {
    this.#head = head
    this.#headSeen = head === undefined || head.seq === 0
  }

  get last(): number {
    return this.#end?.seq ?? 0
  }

  problem(text: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(text)
  }

  note(text: string): void {
    if (this.notes.length < MAX_PROBLEMS) this.notes.push(text)
  }

  line(bytes: Buffer, place: string, firstByName: number | undefined): void {
    this.lines++
    const line = decodeLine(bytes)
    const digest = sha256(bytes)
    if (line === undefined) {
      this.problem(`${place}: not a line of this log`)
      this.#end = { seq: this.last + 1, sha256: digest }
      return
    }
    this.#follows(line, place)
    if (firstByName !== undefined && firstByName !== line.seq) {
      this.problem(`${place}: the file begins with line ${line.seq}, its name says ${firstByName}`)
    }
    this.#told(line, place)
    this.#end = { seq: line.seq, sha256: digest }
    if (line.seq === this.#head?.seq) {
      this.#headSeen = true
      if (digest !== this.#head.sha256) this.problem(`${place}: line ${line.seq} is not the one that was kept in mind`)
    }
  }

  finish(): void {
    if (this.first > this.#oldestAllowed) {
      this.problem(`the lines ${this.#oldestAllowed} to ${this.first - 1} are missing`)
    }
    if (this.#head === undefined && this.lines > 0) this.problem('the file with the end of the chain (head) is missing')
    if (!this.#headSeen) this.problem(`the lines ${this.last + 1} to ${this.#head?.seq} are missing`)
  }

  #follows({ seq, prev }: AuditLine, place: string): void {
    const before = this.#end
    if (before === undefined) {
      this.first = seq
      if (seq === 1 && prev !== CHAIN_START.sha256) this.problem(`${place}: line 1 follows another line`)
      return
    }
    if (seq !== before.seq + 1) this.problem(`${place}: line ${seq} comes after line ${before.seq}`)
    else if (prev !== before.sha256)
      this.problem(`${place}: line ${before.seq} before it is not the one it was written after`)
  }

  #told(line: AuditLine, place: string): void {
    if (line.type === 'broken') this.problem(`${place}: found by the agent at ${line.time}: ${line.problem}`)
    if (line.type === 'rotated') this.#oldestAllowed = Math.max(this.#oldestAllowed, line.oldest)
    if (line.type === 'recovered') this.note(`${place}: a crash left an unfinished line of ${line.bytes} bytes`)
    if (line.type === 'lost') this.note(`${place}: ${line.count} lines since ${line.since} could not be written`)
  }
}
