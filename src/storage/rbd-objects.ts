import { z } from 'zod'
import { isAgentError } from '../core/errors.ts'
import type { CephCommand, CephTools } from './ceph-tools.ts'
import type { RbdPlace } from './rbd-name.ts'

const MISSING = /\(2\) No such file or directory/
const BUSY = /\(16\) Device or resource busy/

/** A lock on an object that stays until it is broken. */
interface ObjectLock {
  readonly name: string
  /** Of this taking, and of no other one. */
  readonly cookie: string
}

/** Who has an exclusive lock on an object. */
export interface ObjectLocker {
  /** As the cluster calls it: `client.4123`. */
  readonly client: string
  readonly cookie: string
  readonly description: string
}

const lockSchema = z.object({
  lockers: z.array(z.object({ name: z.string(), cookie: z.string(), description: z.string() })),
})

/** Small objects beside the images of a pool or namespace, by rados(8). Errors: those of CephTools.run. */
export class RbdObjects {
  readonly #tools: CephTools
  readonly #place: readonly string[]

  constructor(tools: CephTools, { pool, namespace }: RbdPlace) {
    this.#tools = tools
    this.#place = ['--pool', pool, ...(namespace === '' ? [] : ['--namespace', namespace])]
  }

  /** Content as text; undefined when there is no such object. */
  async read(object: string, signal: AbortSignal, timeoutMs?: number): Promise<string | undefined> {
    const limit = timeoutMs === undefined ? {} : { timeoutMs }
    return this.#maybe(['get', object, '-'], signal, limit)
  }

  /** Replaces the content. */
  async write(object: string, content: string, signal: AbortSignal): Promise<void> {
    await this.#rados(['put', object, '-'], signal, { input: content })
  }

  /** Success when it is gone. */
  async remove(object: string, signal: AbortSignal): Promise<void> {
    await this.#maybe(['rm', object], signal)
  }

  /** Takes a lock that ends by itself after 30 s; false when somebody has it. The object is made (empty) if it is missing. */
  async lock(object: string, name: string, signal: AbortSignal): Promise<boolean> {
    return this.#unlessBusy(['lock', 'get', '--lock-duration', '30', object, name], signal)
  }

  /** As `lock`, but with words for whoever reads who has it, and until `breakLock`. */
  async lockFor(
    object: string,
    { name, cookie, description }: ObjectLock & { readonly description: string },
    signal: AbortSignal,
  ): Promise<boolean> {
    const words = ['--lock-cookie', cookie, '--lock-description', description]
    return this.#unlessBusy(['lock', 'get', object, name, ...words], signal)
  }

  /** Who has a lock; undefined when nobody has, or there is no such object. */
  async locker(object: string, name: string, signal: AbortSignal): Promise<ObjectLocker | undefined> {
    const text = await this.#maybe(['lock', 'info', object, name, '--format', 'json'], signal)
    if (text === undefined) return undefined
    const [locker] = lockSchema.parse(JSON.parse(text)).lockers
    return locker === undefined
      ? undefined
      : { client: locker.name, cookie: locker.cookie, description: locker.description }
  }

  /** Ends this taking of a lock, and no other one; false when it is not there any more. */
  async breakLock(
    object: string,
    { name, client, cookie }: ObjectLock & { readonly client: string },
    signal: AbortSignal,
  ): Promise<boolean> {
    return (await this.#maybe(['lock', 'break', object, name, client, '--lock-cookie', cookie], signal)) !== undefined
  }

  /** Keys of the notes on an object. */
  async notes(object: string, signal: AbortSignal): Promise<string[]> {
    const text = (await this.#maybe(['listomapkeys', object], signal)) ?? ''
    return text.split('\n').filter((key) => key !== '')
  }

  async addNote(object: string, key: string, signal: AbortSignal): Promise<void> {
    await this.#rados(['setomapval', object, key, '1'], signal)
  }

  async removeNote(object: string, key: string, signal: AbortSignal): Promise<void> {
    await this.#maybe(['rmomapkey', object, key], signal)
  }

  async #unlessBusy(args: readonly string[], signal: AbortSignal): Promise<boolean> {
    try {
      await this.#rados(args, signal)
      return true
    } catch (error) {
      if (isAgentError(error, 'COMMAND_FAILED') && BUSY.test(error.message)) return false
      throw error
    }
  }

  // rados ends with 1 whatever went wrong: only its words tell.
  async #maybe(
    args: readonly string[],
    signal: AbortSignal,
    options: Pick<CephCommand, 'timeoutMs'> = {},
  ): Promise<string | undefined> {
    try {
      return (await this.#rados(args, signal, options)).stdout
    } catch (error) {
      if (isAgentError(error, 'COMMAND_FAILED') && MISSING.test(error.message)) return undefined
      throw error
    }
  }

  #rados(args: readonly string[], signal: AbortSignal, options: Pick<CephCommand, 'timeoutMs' | 'input'> = {}) {
    return this.#tools.run({ tool: 'rados', args: [...this.#place, ...args], ...options }, signal)
  }
}
