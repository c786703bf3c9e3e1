import { lstat } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { createHash } from 'node:crypto'
import { MIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { OperationContext, OperationHandler } from '../operations/operation.ts'
import type { WorkerCall, WorkerHandlers } from '../platform/workers.ts'
import { poolError } from '../storage/worker/errno.ts'
import { at } from '../storage/worker/pool-root.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import { imagePath, openTarget, type ImageTarget } from './image-target.ts'
import { openableSource, type LocalSource } from './local-source.ts'
import { describesFile, readManifest, writeManifest } from './manifest.ts'
import type { TransferClient } from './transfer-client.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

/** The operation kind of full checks of images against their manifests. */
export const IMAGE_VERIFY = 'image.verify'

/** An image that is what its manifest says, byte by byte. */
export interface VerifyResult {
  readonly sizeBytes: number
  readonly digests: Digests
}

export interface VerifyDeps {
  readonly pools: PoolAccess
  readonly openClient: (jobId: string) => TransferClient
}

/** The full check as an operation. It fails with IMAGE_CHANGED when the bytes are others; when only the time of the file is another, the manifest takes it on. */
export class ImageVerifier implements OperationHandler<LocalSource, VerifyResult, never> {
  readonly kind = IMAGE_VERIFY
  readonly onRestart = 'resume'
  readonly onShutdown = 'interrupt'
  readonly #deps: VerifyDeps

  constructor(deps: VerifyDeps) {
    this.#deps = deps
  }

  retry(params: LocalSource): LocalSource {
    return params
  }

  async run(params: LocalSource, ctx: OperationContext<never>): Promise<VerifyResult> {
    const client = this.#deps.openClient(ctx.id)
    try {
      const image = await openableSource(params, ctx.id, this.#deps.pools, ctx)
      const onEvent = ({ bytesReceived, bytesDurable }: { bytesReceived: number; bytesDurable: number }) =>
        ctx.progress({ phase: 'verifying', bytesDone: bytesReceived, bytesTotal: bytesDurable })
      return await client.verify(image, onEvent, ctx.signal)
    } finally {
      client.close()
    }
  }
}

/** The worker's half: part of the transfer worker. */
export const verifyHandlers: WorkerHandlers = { 'image.verify': verify }

async function verify({ image }: { image: ImageTarget }, call: WorkerCall): Promise<VerifyResult> {
  const name = quote(imagePath(image))
  try {
    await using directory = await openTarget(image, 'refuse')
    const file = at(directory, image.fileName)
    const manifest = await readManifest(file)
    if (manifest === undefined) {
      throw new AgentError(
        'INVALID_REQUEST',
        `${name} has no manifest: the agent did not put it there and knows nothing of it`,
      )
    }
    const { size, mtimeMs } = await lstat(file)
    const wanted = Object.keys(manifest.digests) as DigestAlgorithm[]
    const hashes = wanted.map((algorithm) => [algorithm, createHash(algorithm)] as const)
    let done = 0
    const stream = createReadStream(file, { highWaterMark: MIB, signal: call.signal })
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const [, hash] of hashes) hash.update(chunk)
      done += chunk.length
      call.emit({ bytesReceived: done, bytesDurable: size })
    }
    const digests: Digests = Object.fromEntries(hashes.map(([algorithm, hash]) => [algorithm, hash.digest('hex')]))
    const other = wanted.find((algorithm) => digests[algorithm] !== manifest.digests[algorithm])
    if (wanted.length === 0 || other !== undefined) {
      throw new AgentError(
        'IMAGE_CHANGED',
        `${name} has another ${other ?? 'digest'} than when it was verified; it was changed or damaged`,
      )
    }
    const facts = { sizeBytes: size, mtimeMs }
    if (!describesFile(manifest, facts)) await writeManifest(file, { ...manifest, ...facts })
    return { sizeBytes: size, digests }
  } catch (error) {
    throw poolError(error, name)
  }
}
