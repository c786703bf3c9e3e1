import { randomUUID } from 'node:crypto'
import type { Logger, OpContext } from '../../core/context.ts'
import { AgentError, errorText } from '../../core/errors.ts'
import { KeyedLock } from '../../core/keyed-lock.ts'
import { MIB } from '../../core/bytes.ts'
import type { StateCollection } from '../../platform/state-store.ts'
import type { PoolAccess } from '../../storage/pool-access.ts'
import type { Reservations } from '../../storage/reservations.ts'
import { currentGuard, type DownloadParams } from '../download-plan.ts'
import { DownloadSpace } from '../download-space.ts'
import { targetOf } from '../download.ts'
import { explainFullTarget } from '../full-target.ts'
import type { TransferClient } from '../transfer-client.ts'

/** An upload on its way, as it is kept. Times: ms since the epoch. */
export interface UploadRecord {
  readonly id: string
  readonly params: DownloadParams
  /** Of the whole, when it was told. */
  readonly totalBytes?: number
  /** Bytes that survive a crash. */
  readonly durableBytes: number
  readonly touchedAt: number
}

export interface UploadsDeps {
  readonly pools: PoolAccess
  readonly store: StateCollection<UploadRecord>
  /** What jobs and uploads were promised in directories that belong to no pool. */
  readonly localSpace: Reservations
  readonly openClient: (uploadId: string) => TransferClient
  readonly log: Logger
}

const PIECE_BYTES = MIB
const SYNC_EVERY_BYTES = 64 * MIB
const DISCARD_TIMEOUT_MS = 30_000
/** An upload nobody goes on with for this long is given up. */
const KEEP_MS = 7 * 24 * 60 * 60_000

/** Uploads that come in pieces: each piece begins where the durable bytes end, whatever happened to the connection or the agent in between. */
export class Uploads {
  readonly #deps: UploadsDeps
  readonly #locks = new KeyedLock()

  constructor(deps: UploadsDeps) {
    this.#deps = deps
  }

  /** Begins an upload for an image that `params` describe; uploads that were given up are removed. */
  async begin(params: DownloadParams, totalBytes: number | undefined): Promise<UploadRecord> {
    await this.#sweep()
    const total = totalBytes === undefined ? {} : { totalBytes }
    const record = { id: randomUUID(), params, ...total, durableBytes: 0, touchedAt: Date.now() }
    await this.#deps.store.put(record.id, record)
    return record
  }

  /** UPLOAD_NOT_FOUND for an unknown id, and for one that was finished or given up. */
  async get(uploadId: string): Promise<UploadRecord> {
    const record = await this.#deps.store.get(uploadId)
    if (record === undefined)
      throw new AgentError('UPLOAD_NOT_FOUND', `upload ${uploadId} is unknown, finished or given up`)
    return record
  }

  /**
   * Takes bytes that begin at `offset`; what is durable at the end, also after an error in the middle, is kept. Errors: UPLOAD_NOT_FOUND, UPLOAD_OFFSET, POOL_FULL, IMAGE_NOT_AN_IMAGE (from
   * the first bytes), those of the pool and of `body`.
   */
  async write(
    uploadId: string,
    piece: { readonly offset: number; readonly totalBytes?: number },
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<UploadRecord> {
    return this.#locks.run(uploadId, signal, async () => {
      const known = await this.get(uploadId)
      const totalBytes = known.totalBytes ?? piece.totalBytes
      const record = totalBytes === undefined ? known : { ...known, totalBytes }
      if (piece.offset !== known.durableBytes) throw offsetError(uploadId, piece.offset, known.durableBytes)
      if (piece.totalBytes !== undefined && piece.totalBytes !== totalBytes) {
        throw new AgentError(
          'INVALID_REQUEST',
          `Content-Range: the upload has ${totalBytes} bytes, not ${piece.totalBytes}`,
        )
      }
      const client = this.#deps.openClient(uploadId)
      const space = new DownloadSpace(record.params, this.#deps.pools, this.#deps.localSpace)
      try {
        return await this.#receive(record, body, client, space, signal)
      } finally {
        space.release()
        client.close()
      }
    })
  }

  /** Ends an upload: its parameters for the job that has the same id. Errors: UPLOAD_NOT_FOUND, UPLOAD_INCOMPLETE. */
  async finish(uploadId: string, start: (params: DownloadParams) => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.#locks.run(uploadId, signal, async () => {
      const { params, totalBytes, durableBytes } = await this.get(uploadId)
      if (totalBytes === undefined ? durableBytes === 0 : durableBytes !== totalBytes) {
        const of = totalBytes === undefined ? '' : ` of ${totalBytes}`
        throw new AgentError('UPLOAD_INCOMPLETE', `upload ${uploadId} has ${durableBytes}${of} bytes`)
      }
      // The job first: it is found by the same id when the answer got lost.
      await start({ ...params, uploadBytes: durableBytes })
      await this.#deps.store.delete(uploadId)
    })
  }

  /** Gives an upload up and removes its file; success when it is gone. */
  async discard(uploadId: string, signal: AbortSignal): Promise<void> {
    await this.#locks.run(uploadId, signal, async () => {
      const record = await this.#deps.store.get(uploadId)
      if (record !== undefined) await this.#remove(record)
    })
  }

  async #receive(
    record: UploadRecord,
    body: AsyncIterable<Uint8Array>,
    client: TransferClient,
    space: DownloadSpace,
    signal: AbortSignal,
  ): Promise<UploadRecord> {
    const { params, totalBytes } = record
    const target = targetOf(
      params,
      record.id,
      await currentGuard(params, this.#deps.pools, { signal, log: this.#deps.log }),
    )
    // Ended by its own errors: a write must not be cut when the caller goes away, but end.
    const own = new AbortController().signal
    let offset = record.durableBytes
    let synced = offset
    const { freeBytes } = await client.openUpload(target, offset, own)
    if (totalBytes !== undefined) {
      await space.take('source', totalBytes - offset, freeBytes, { signal, log: this.#deps.log })
    }
    const keep = async () => {
      await client.syncUpload(target, own)
      synced = offset
      await this.#deps.store.put(record.id, { ...record, durableBytes: offset, touchedAt: Date.now() })
    }
    try {
      for await (const bytes of inPieces(body)) {
        if (totalBytes !== undefined && offset + bytes.length > totalBytes) {
          throw new AgentError(
            'INVALID_REQUEST',
            `upload ${record.id}: more bytes than the ${totalBytes} that were announced`,
          )
        }
        await client.writeUpload({ target, offset, bytes, ...(totalBytes === undefined ? {} : { totalBytes }) }, own)
        offset += bytes.length
        if (offset - synced >= SYNC_EVERY_BYTES) await keep()
      }
    } catch (error) {
      await keep().catch((failure: unknown) => {
        this.#deps.log.warn({ upload: record.id, err: errorText(failure) }, 'what came of an upload cannot be kept')
      })
      throw await explainFullTarget(error, { params, target, space, client }, this.#deps)
    }
    await keep()
    return { ...record, durableBytes: offset, touchedAt: Date.now() }
  }

  async #sweep(): Promise<void> {
    for (const [id, record] of await this.#deps.store.entries()) {
      if (Date.now() - record.touchedAt < KEEP_MS || this.#locks.isHeld(id)) continue
      await this.#remove(record).catch((error: unknown) => {
        this.#deps.log.warn({ upload: id, err: errorText(error) }, 'an upload that was given up cannot be removed yet')
      })
    }
  }

  async #remove({ id, params }: UploadRecord): Promise<void> {
    const ctx: OpContext = { signal: AbortSignal.timeout(DISCARD_TIMEOUT_MS), log: this.#deps.log }
    const client = this.#deps.openClient(id)
    try {
      const guard = await currentGuard(params, this.#deps.pools, ctx)
      await client.discard(targetOf(params, id, guard), ctx.signal)
    } finally {
      client.close()
    }
    await this.#deps.store.delete(id)
  }
}

async function* inPieces(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(PIECE_BYTES)
  let filled = 0
  try {
    for await (const chunk of body) {
      for (let rest = chunk; rest.length > 0;) {
        const part = rest.subarray(0, PIECE_BYTES - filled)
        piece.set(part, filled)
        filled += part.length
        rest = rest.subarray(part.length)
        if (filled < PIECE_BYTES) continue
        yield piece
        piece = new Uint8Array(PIECE_BYTES)
        filled = 0
      }
    }
  } catch (error) {
    // A connection that breaks has brought what it brought.
    if (filled > 0) yield piece.subarray(0, filled)
    throw error
  }
  if (filled > 0) yield piece.subarray(0, filled)
}

function offsetError(uploadId: string, given: number, durable: number): AgentError {
  return new AgentError('UPLOAD_OFFSET', `upload ${uploadId} goes on at byte ${durable}, not at ${given}`, {
    details: { offset: String(durable) },
  })
}
