import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import type { PoolFileBatch, PoolFileContent, PoolFileQuery } from '../core/model.ts'
import { isInside, splitRelative } from '../platform/files.ts'
import type { ActivePool } from './pool-access.ts'
import type { PoolGuard } from './pool-guard.ts'
import type { PoolManager } from './pool-manager.ts'
import type { PoolTarget, StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'

/** A directory with more entries than this is not listed, not even in parts: the order of a part needs all names. */
const MAX_ENTRIES = 1_000_000
/** More entries than this are not collected in one answer. */
const MAX_ANSWER = 200_000
/** Bytes of a file per call of a helper: each has a deadline of its own. */
const READ_BYTES = 1024 * 1024

const NOTHING = Buffer.alloc(0)

/** Where the control plane looks for ISOs; on a pool that never had one, "none" is the true answer (contract 1.4). */
const OPTIONAL_DIRECTORY = 'iso'

export interface FileBrowserOptions {
  readonly pools: PoolManager
  readonly io: StorageIo
  /** The agent's persistent id. */
  readonly nodeId: string
}

interface Place {
  readonly pool: ActivePool
  readonly guard: PoolGuard
  readonly target: PoolTarget
  readonly components: readonly string[]
}

/**
 * The files of file pools, for people. Errors of all methods: POOL_NOT_FOUND, POOL_UNAVAILABLE, INVALID_PATH, FILE_NOT_FOUND, FILE_NOT_DIRECTORY, and whatever a pool
 * that does not answer gives: never an empty list in its place.
 */
export class FileBrowser {
  readonly #pools: PoolManager
  readonly #io: StorageIo
  readonly #nodeId: string

  constructor({ pools, io, nodeId }: FileBrowserOptions) {
    this.#pools = pools
    this.#io = io
    this.#nodeId = nodeId
  }

  /** A directory or a part of it, in batches; at least one. The helper sorts, cuts and encodes, so that only what is asked for gets here, ready to be sent on. LISTING_TOO_LARGE. */
  async *list(poolId: string, query: PoolFileQuery, ctx: OpContext): AsyncGenerator<PoolFileBatch> {
    const { path, ...part } = query
    const { guard, target, components } = await this.#place(poolId, path, ctx)
    const queue: PoolFileBatch[] = []
    let wake = Promise.withResolvers<void>()
    // A reader that leaves early ends the work of the helper.
    const left = new AbortController()
    const signal = AbortSignal.any([ctx.signal, left.signal])
    const params = { guard, components, ...part, maxEntries: MAX_ENTRIES, maxAnswer: MAX_ANSWER }
    const onEvent = (batch: PoolFileBatch) => {
      queue.push(batch)
      wake.resolve()
    }
    let total: number | undefined
    const listing = this.#io.call(target, 'listDirectory', params, { signal, onEvent }).then((answer) => {
      total = answer
    })
    const ended = listing.finally(() => wake.resolve())
    ended.catch(() => undefined)
    let batches = 0
    try {
      for (;;) {
        for (let batch = queue.shift(); batch !== undefined; batch = queue.shift(), batches++) {
          yield batch
        }
        if (total !== undefined) break
        await Promise.race([ended, wake.promise])
        wake = Promise.withResolvers<void>()
      }
      if (batches === 0) yield { total, bytes: NOTHING }
    } catch (error) {
      const absent = isAgentError(error, 'FILE_NOT_FOUND') && components.join('/') === OPTIONAL_DIRECTORY
      if (!absent) throw error
      yield { total: 0, bytes: NOTHING }
    } finally {
      left.abort(new AgentError('CANCELLED', 'the listing is not wanted any more'))
    }
  }

  /** A regular file to be read. FILE_NOT_REGULAR for links and everything else. */
  async open(poolId: string, path: string, ctx: OpContext): Promise<PoolFileContent> {
    const place = await this.#place(poolId, path, ctx)
    const facts = await this.#call(place, 'statContent', place, ctx)
    const read = (offset: number, length: number) => this.#read(place, facts.version, offset, length, ctx)
    return { name: place.components.at(-1) ?? '', ...facts, read }
  }

  /** Makes one directory in a directory that is there. FILE_CONFLICT when something else has the name. */
  async makeDirectory(poolId: string, path: string, ctx: OpContext): Promise<'made' | 'already-there'> {
    const place = await this.#place(poolId, path, ctx)
    return this.#call(place, 'makeDirectory', place, ctx)
  }

  /** Deletes a file, a link or an empty directory; success when it is gone. Errors: FILE_IN_USE naming the users, DIRECTORY_NOT_EMPTY. */
  async delete(poolId: string, path: string, ctx: OpContext): Promise<'deleted' | 'already-deleted'> {
    const place = await this.#place(poolId, path, ctx)
    const entry = await this.#call(place, 'statEntry', place, ctx)
    if (entry === undefined) return 'already-deleted'
    if (entry.type !== 'directory') await this.#refuseUsed(place, entry, ctx)
    return this.#call(place, 'deleteEntry', { ...place, node: this.#nodeId }, ctx)
  }

  /** Renames or moves within the pool; nothing is replaced. Errors: FILE_IN_USE naming the users, FILE_CONFLICT. */
  async rename(poolId: string, from: string, to: string, ctx: OpContext): Promise<void> {
    const place = await this.#place(poolId, from, ctx)
    const target = splitRelative(to)
    const entry = await this.#call(place, 'statEntry', place, ctx)
    if (entry !== undefined) await this.#refuseUsed(place, entry, ctx)
    await this.#call(place, 'renameEntry', { ...place, to: target, node: this.#nodeId }, ctx)
  }

  /**
   * The volumes of all file pools but `exceptPoolId` whose backing file is at absolute `path` or below it, for people. A pool that cannot be asked may have some:
   * POOL_UNAVAILABLE.
   */
  async overlaysOn(path: string, exceptPoolId: string, ctx: OpContext): Promise<string[]> {
    const others = this.#pools.list().filter(({ config, mountPath }) => {
      return mountPath !== '' && config.poolId !== exceptPoolId
    })
    const found = await Promise.all(
      others.map(async ({ config: { poolId } }) => {
        try {
          const other = await this.#place(poolId, '', ctx)
          const volumes = await this.#call(other, 'overlaysOn', { guard: other.guard, place: path }, ctx)
          return volumes.map((volume) => `volume ${volume} of pool ${poolId}, whose backing file it is or holds`)
        } catch (error) {
          ctx.signal.throwIfAborted()
          throw new AgentError(
            'POOL_UNAVAILABLE',
            `${path} may be the backing file of a volume in pool ${poolId}, which cannot be asked: ${errorText(error)}`,
            { cause: error },
          )
        }
      }),
    )
    return found.flat()
  }

  // One piece is read ahead of the one that is being sent; a receiver that stops taking stops the reading.
  async *#read(
    place: Place,
    version: string,
    offset: number,
    length: number,
    ctx: OpContext,
  ): AsyncGenerator<Uint8Array> {
    const end = offset + length
    const piece = (at: number) => {
      const params = { ...place, version, offset: at, length: Math.min(READ_BYTES, end - at) }
      const bytes = this.#call(place, 'readContent', params, ctx)
      bytes.catch(() => undefined)
      return bytes
    }
    let ahead = length > 0 ? piece(offset) : undefined
    for (let at = offset; ahead !== undefined;) {
      const bytes = await ahead
      if (bytes.length === 0) throw new AgentError('FILE_CHANGED', `${place.components.join('/')} ended early`)
      at += bytes.length
      ahead = at < end ? piece(at) : undefined
      yield bytes
    }
  }

  async #refuseUsed(place: Place, entry: NonNullable<StorageResult<'statEntry'>>, ctx: OpContext): Promise<void> {
    const { pool, guard, components } = place
    const path = `${guard.root}/${components.join('/')}`
    const users = await this.#pools.users(pool, ctx)
    // A user with an owner but without a path could not be asked what it uses.
    const using = users.filter((user) => {
      return user.path === undefined ? user.owner !== undefined : isInside(path, user.path)
    })
    const mayBack = entry.isImage || entry.type === 'directory'
    const overlays = mayBack ? await this.overlaysOn(path, pool.config.poolId, ctx) : []
    const names = [...new Set([...using.map(({ name }) => name), ...overlays])]
    if (names.length === 0) return
    throw new AgentError('FILE_IN_USE', `${components.join('/')} is used by ${names.slice(0, 10).join(', ')}`)
  }

  async #place(poolId: string, path: string, ctx: OpContext): Promise<Place> {
    const components = splitRelative(path)
    const pool = await this.#pools.require(poolId, ctx)
    const { guard, config, backend } = pool
    if (guard === undefined) {
      throw new AgentError('FILE_NOT_DIRECTORY', `pool ${config.poolId} (${config.kind}) has volumes, not files`)
    }
    return { pool, guard, target: { poolId: config.poolId, isolation: backend.traits.isolation }, components }
  }

  // Only plain data may go to a helper, and `params` may be a whole place.
  #call<M extends StorageMethod>(
    place: Place,
    method: M,
    params: StorageParams<M>,
    { signal }: OpContext,
  ): Promise<StorageResult<M>> {
    const { pool: _, target: __, ...plain } = params as StorageParams<M> & Partial<Place>
    return this.#io.call(place.target, method, plain as StorageParams<M>, { signal })
  }
}
