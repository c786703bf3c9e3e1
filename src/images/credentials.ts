import { randomUUID } from 'node:crypto'
import { AgentError } from '../core/errors.ts'
import type { DownloadCredentials } from '../core/model.ts'
import type { StateCollection } from '../platform/state-store.ts'

const LIMIT_BYTES = 8 * 1024

/** Checked credentials: neither empty nor anything that would break out of a header. INVALID_REQUEST otherwise, without showing them. */
export function parseCredentials(given: DownloadCredentials): DownloadCredentials {
  const parts = 'token' in given ? [given.token] : [given.username, given.password]
  const usable = parts.every((part) => Buffer.byteLength(part) <= LIMIT_BYTES && !/[\u0000-\u001f\u007f]/.test(part))
  const named = 'token' in given ? /^[\x21-\x7e]+$/.test(given.token) : /^[^:]+$/.test(given.username)
  if (usable && named) return given
  throw new AgentError(
    'INVALID_REQUEST',
    'credentials: give username (without colon) and password, or token; no control characters',
  )
}

/** The value of the Authorization header. */
export function authorizationOf(credentials: DownloadCredentials): string {
  if ('token' in credentials) return `Bearer ${credentials.token}`
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
}

/** Credentials of jobs, apart from the jobs: what lists, logs and manifests show of a job has only a key. In files for root alone, until the job has succeeded or is forgotten. */
export class CredentialBook {
  readonly #collection: StateCollection<DownloadCredentials>

  constructor(collection: StateCollection<DownloadCredentials>) {
    this.#collection = collection
  }

  /** Keeps them durably; returns the key. */
  async keep(credentials: DownloadCredentials): Promise<string> {
    const key = randomUUID()
    await this.#collection.put(key, parseCredentials(credentials))
    return key
  }

  find(key: string): Promise<DownloadCredentials | undefined> {
    return this.#collection.get(key)
  }

  forget(key: string): Promise<void> {
    return this.#collection.delete(key)
  }

  /** Forgets all but `used`: a crash may have come between them and their job, and jobs are forgotten too. */
  async sweep(used: ReadonlySet<string>): Promise<void> {
    for (const [key] of await this.#collection.entries()) if (!used.has(key)) await this.forget(key)
  }
}
