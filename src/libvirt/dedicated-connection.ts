import type { Connection } from './connection.ts'
import { LibvirtGone } from './errors.ts'
import { callOn, openConnection, type OpenOptions } from './open-connection.ts'
import type { ProcedureName } from './programs.ts'
import type { Procedures } from './wire/procedures.gen.ts'

/** A connection of its own, past all lanes: libvirt undoes what was begun on it (a migration in preparation) when it ends, so it is never replaced. */
export class DedicatedConnection {
  /** Resolves with the reason when it is over. */
  readonly ended: Promise<Error>
  readonly #connection: Connection
  #over: Error | undefined

  private constructor(connection: Connection, ended: Promise<Error>) {
    this.#connection = connection
    this.ended = ended
    void ended.then((why) => {
      this.#over = why
    })
  }

  /** Errors: LibvirtGone. */
  static async open(
    options: OpenOptions,
    signal: AbortSignal,
    onWarning: (text: string) => void,
  ): Promise<DedicatedConnection> {
    const { promise, resolve } = Promise.withResolvers<Error>()
    return new DedicatedConnection(
      await openConnection(options, { onClose: resolve, onWarning }, true, signal),
      promise,
    )
  }

  /** As LibvirtClient.call; calls on it are not queued by us, and libvirt works on five of a connection at once. */
  async call<P extends ProcedureName>(
    name: P,
    args: Procedures[P]['args'],
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Procedures[P]['ret']> {
    if (this.#over !== undefined) throw new LibvirtGone(name, false, this.#over.message, this.#over)
    return callOn(this.#connection, name, args, options.timeoutMs, { signal: options.signal })
  }

  close(why: Error = new Error('the connection is not needed any more')): void {
    this.#connection.close(why)
  }
}
