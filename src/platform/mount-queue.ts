import { isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { monotonicMs } from './clock.ts'

/** Mounts of one server one after the other: servers and mount helpers cope badly with many at once. */
export class MountQueue {
  readonly #locks = new KeyedLock()
  readonly #failures = new Map<string, { readonly at: number; readonly error: unknown }>()

  /** Runs `work` when no other work for `server` is under way. Whoever waited while the server turned out not to answer gets that error without asking it again. */
  async run<T>(server: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const askedAt = monotonicMs()
    return this.#locks.run(server, signal, async () => {
      const failure = this.#failures.get(server)
      if (failure !== undefined && failure.at > askedAt) throw failure.error
      this.#failures.delete(server)
      try {
        return await work()
      } catch (error) {
        if (isAgentError(error, 'SERVER_NOT_ANSWERING', 'SERVER_UNKNOWN')) {
          this.#failures.set(server, { at: monotonicMs(), error })
        }
        throw error
      }
    })
  }
}
