import { constants } from 'node:fs'
import { link, open, readdir, rm, type FileHandle } from 'node:fs/promises'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { parseShape } from '../../core/shape.ts'
import { errnoOf, poolError } from './errno.ts'
import { at } from './pool-root.ts'

/** A lease as it is in the directory. `facts` is undefined while they cannot be read. */
export interface LeaseFile<Facts> {
  readonly token: number
  readonly facts: Facts | undefined
}

/** One write of this size: a reader on another host sees all of it, or not yet. */
const FILE_BYTES = 512

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

/**
 * Leases as files beside what they are on, for hosts that share a directory: a token that only ever grows, and facts about the holder. Who takes the next token voids all those before.
 */
export class LeaseFiles<Facts extends object> {
  readonly #isFacts: (value: unknown) => value is Facts
  readonly #what: (fileName: string) => string

  /** `isFacts` checks what another host has written; `what` names a leased thing in errors. */
  constructor(isFacts: (value: unknown) => value is Facts, what: (fileName: string) => string) {
    this.#isFacts = isFacts
    this.#what = what
  }

  /**
   * The lease on `fileName` in an open directory: the one with the highest token; undefined when there is none. Directory listings of network file systems may be old, names are
   * not: the following tokens are asked for by name.
   */
  async read(directory: FileHandle, fileName: string): Promise<LeaseFile<Facts> | undefined> {
    let token = Math.max(0, ...(await tokens(directory, fileName)))
    let facts = token === 0 ? undefined : await this.#facts(directory, leaseName(fileName, token))
    for (;;) {
      const next = await this.#facts(directory, leaseName(fileName, token + 1))
      if (next === undefined) break
      token++
      facts = next
    }
    if (token === 0 || facts === undefined) return undefined
    return { token, facts: facts === 'unreadable' ? undefined : facts }
  }

  /**
   * Takes the lease after the one with token `after` (0 = none), by way of the new file `temporary`, which goes with the job when it stays: false when somebody else was faster. Making the name is atomic on the server, so of all hosts that try one succeeds. Those before are void from
   * then on: their files go.
   */
  async take(
    directory: FileHandle,
    fileName: string,
    after: number,
    facts: Facts,
    temporary: string,
  ): Promise<boolean> {
    const temp = at(directory, temporary)
    try {
      {
        await using file = await open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        await file.write(encode(facts), 0, FILE_BYTES, 0)
        await file.sync()
      }
      await link(temp, at(directory, leaseName(fileName, after + 1)))
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false
      throw poolError(error, quote(fileName))
    } finally {
      await rm(temp, { force: true })
    }
    for (const token of await tokens(directory, fileName)) {
      if (token <= after) await rm(at(directory, leaseName(fileName, token)), { force: true })
    }
    await directory.sync()
    return true
  }

  /** Gives a sign of life; false when the lease was taken away. The file is never made again here. */
  async beat(directory: FileHandle, fileName: string, token: number, facts: Facts): Promise<boolean> {
    try {
      await using file = await open(at(directory, leaseName(fileName, token)), O_WRONLY | O_NOFOLLOW)
      if ((await file.stat()).nlink === 0) return false
      await file.write(encode(facts), 0, FILE_BYTES, 0)
      return true
    } catch (error) {
      if (isGone(error)) return false
      throw poolError(error, quote(fileName))
    }
  }

  /** LEASE_LOST unless the lease with `token` is still there and nobody has the next one. Right before a step that only its holder may do. */
  async confirm(directory: FileHandle, fileName: string, token: number): Promise<void> {
    const [own, next] = await Promise.all(
      [token, token + 1].map((each) => this.#facts(directory, leaseName(fileName, each))),
    )
    if (own === undefined || next !== undefined) {
      throw new AgentError('LEASE_LOST', `another host has taken over ${this.#what(fileName)}`)
    }
  }

  /** Gives the lease back; nothing else is touched. */
  async release(directory: FileHandle, fileName: string, token: number): Promise<void> {
    await rm(at(directory, leaseName(fileName, token)), { force: true })
  }

  async #facts(directory: FileHandle, name: string): Promise<Facts | 'unreadable' | undefined> {
    try {
      // Opened anew every time: that is what makes network file systems ask the server.
      await using file = await open(at(directory, name), O_RDONLY | O_NOFOLLOW)
      if ((await file.stat()).nlink === 0) return undefined
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0)
      return parseShape(buffer.toString('utf8', 0, bytesRead), this.#isFacts) ?? 'unreadable'
    } catch (error) {
      if (isGone(error)) return undefined
      throw poolError(error, quote(name))
    }
  }
}

function leasePrefix(fileName: string): string {
  return `.${fileName}.lqx-lease-`
}

function leaseName(fileName: string, token: number): string {
  return `${leasePrefix(fileName)}${token}`
}

async function tokens(directory: FileHandle, fileName: string): Promise<number[]> {
  const prefix = leasePrefix(fileName)
  return (await readdir(at(directory, '.')))
    .filter((name) => name.startsWith(prefix) && /^[1-9]\d{0,8}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
}

function encode(facts: object): Buffer {
  return Buffer.from(JSON.stringify(facts).padEnd(FILE_BYTES).slice(0, FILE_BYTES))
}

// ESTALE: the server has removed what this host still had a name for.
function isGone(error: unknown): boolean {
  return ['ENOENT', 'ESTALE'].includes(errnoOf(error) ?? '')
}
