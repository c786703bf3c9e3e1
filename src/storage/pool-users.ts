import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { ActivePool, PoolUser, PoolUserSource } from './pool-access.ts'
import type { Reservations } from './reservations.ts'
import type { StorageIo } from './storage-io.ts'

/** More users than this are only counted in a refusal. */
const NAMED_USERS = 10

/** Who uses which pool: what registered sources say (domains), jobs with reserved space, and processes with open files. */
export class PoolUsers {
  readonly #sources: PoolUserSource[] = []
  readonly #contents: PoolUserSource[] = []
  readonly #reservations: Reservations
  readonly #io: StorageIo

  constructor(reservations: Reservations, io: StorageIo) {
    this.#reservations = reservations
    this.#io = io
  }

  /** Asks `source` from now on; `contents` does not keep the pool from being taken out of use. */
  add(source: PoolUserSource, kind: 'user' | 'contents'): void {
    const sources = kind === 'user' ? this.#sources : this.#contents
    sources.push(source)
  }

  /** Users by sources and jobs. An error of a source is passed on: "cannot tell" is not "nobody". */
  async of(pool: ActivePool, ctx: OpContext): Promise<PoolUser[]> {
    return this.#ask([...this.#sources, ...this.#contents], pool, ctx)
  }

  /** POOL_IN_USE with the names of the users, processes with open files included. */
  async refuseInUse(pool: ActivePool, ctx: OpContext): Promise<void> {
    // Contents are not asked: a server that is dead could not answer, and must not keep its pool.
    const users = await this.#ask(this.#sources, pool, ctx)
    const names = [...users.map((user) => user.name), ...(await this.#processes(pool, ctx))]
    const distinct = [...new Set(names)]
    if (distinct.length === 0) return
    const more = distinct.length > NAMED_USERS ? ` and ${distinct.length - NAMED_USERS} more` : ''
    const shown = distinct.slice(0, NAMED_USERS).join(', ')
    throw new AgentError('POOL_IN_USE', `pool ${pool.config.poolId} is used by ${shown}${more}; stop them first`)
  }

  async #ask(sources: readonly PoolUserSource[], pool: ActivePool, ctx: OpContext): Promise<PoolUser[]> {
    const lists = await Promise.all(sources.map((source) => source(pool, ctx)))
    const jobs = this.#reservations.purposes(pool.config.poolId).map((name) => ({ name }))
    return [...lists.flat(), ...jobs]
  }

  // Read from /proc alone, so the shared helper may do it whatever the pool is.
  async #processes({ backend, config }: ActivePool, ctx: OpContext): Promise<string[]> {
    if (backend.mountPath === '') return []
    const params = { root: backend.mountPath, except: [process.pid, ...this.#io.state().pids] }
    const target = { poolId: config.poolId, isolation: 'common' } as const
    return this.#io.call(target, 'processesUsing', params, { signal: ctx.signal })
  }
}
