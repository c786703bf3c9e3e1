import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { AgentError } from '../core/errors.ts'
import { hostConfinement } from '../platform/confine.ts'
import type { WorkerCall, WorkerHandlers } from '../platform/workers.ts'
import type { TransferEvent } from './image-fetch.ts'
import {
  adoptImage,
  discardImage,
  imagePath,
  openTarget,
  prepareTarget,
  publishImage,
  targetSpace,
  type ImageTarget,
  type PreparedTarget,
} from './image-target.ts'
import { inspectHandlers } from './inspect-handlers.ts'
import { inheritHandlers } from './lease/inherit.ts'
import { leaseHandlers } from './lease/lease-handlers.ts'
import type { ImageManifest } from './manifest.ts'
import { convertHandlers } from './convert/convert-handlers.ts'
import { copyHandlers } from './copy-in.ts'
import { uploadHandlers } from './upload/upload-handlers.ts'
import { verifyHandlers } from './verify-image.ts'
import { beginUnwrap, endUnwrap, unwrapHandlers } from './unwrap/unwrap-handlers.ts'
import { proofHandlers } from './proof/proof-handlers.ts'
import { TokenBucket } from './paced-sink.ts'
import { TransferSession, type TransferEnd, type TransferOrder, type TransferStart } from './transfer-session.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

/** Sessions that are connected or moving bytes, by job. */
const sessions = new Map<string, TransferSession>()
const running = new Map<string, Promise<unknown>>()
/** Rates may be set before there is a session. */
const buckets = new Map<string, TokenBucket>()

/** The transfer worker: all of a download that touches the network or the pool. */
export const transferHandlers: WorkerHandlers = {
  ...inspectHandlers,
  ...proofHandlers,
  ...unwrapHandlers,
  ...convertHandlers,
  ...copyHandlers,
  ...leaseHandlers,
  ...inheritHandlers,
  ...uploadHandlers,
  ...verifyHandlers,
  'image.prepare': ({ target }: { target: ImageTarget }): Promise<PreparedTarget> => prepareTarget(target),
  'image.space': ({ target }: { target: ImageTarget }) => targetSpace(target),
  'image.pace': ({ jobId, bytesPerSecond }: { jobId: string; bytesPerSecond: number }) =>
    Promise.resolve(bucketOf(jobId).setRate(bytesPerSecond)),
  'image.open': open,
  'image.transfer': transfer,
  'image.hash': hashExisting,
  'image.confirm': async ({ target }: { target: ImageTarget }) => (await openTarget(target, 'refuse')).close(),
  'image.publish': async (p: { target: ImageTarget; temp: string; manifest: Omit<ImageManifest, 'mtimeMs'> }) =>
    publishImage(p.target, p.temp, p.manifest),
  'image.adopt': async (p: { target: ImageTarget; manifest: ImageManifest }) => adoptImage(p.target, p.manifest),
  'image.discard': discard,
}

function bucketOf(jobId: string): TokenBucket {
  const known = buckets.get(jobId)
  if (known !== undefined) return known
  const made = new TokenBucket()
  buckets.set(jobId, made)
  return made
}

async function open(order: TransferOrder, call: WorkerCall): Promise<TransferStart> {
  const session = await TransferSession.begin(order, bucketOf(order.target.jobId), (event) => call.emit(event))
  sessions.set(order.target.jobId, session)
  return session.open(call.signal)
}

async function transfer({ jobId }: { jobId: string }, call: WorkerCall): Promise<TransferEnd> {
  const session = sessions.get(jobId)
  if (session === undefined) throw new AgentError('INTERNAL', `job ${jobId} has no open connection`)
  const work = receive(session, call)
  running.set(jobId, work)
  try {
    return await work
  } catch (error) {
    await endUnwrap(jobId)
    throw error
  } finally {
    running.delete(jobId)
    await closeSession(jobId)
  }
}

async function receive(session: TransferSession, call: WorkerCall): Promise<TransferEnd> {
  // Needed by what comes after, which is told what is wrong with it; found out by trying, which takes a while.
  hostConfinement().catch(() => undefined)
  const { target, innerAlgorithms } = session.order
  const inside = await beginUnwrap(target, innerAlgorithms)
  call.signal.throwIfAborted()
  return session.receive((event) => call.emit(event), call.signal, inside)
}

// Removing the files while a write is under way would leave what the write makes.
async function discard({ target }: { target: ImageTarget }): Promise<void> {
  sessions.get(target.jobId)?.hangUp()
  await Promise.allSettled([running.get(target.jobId)])
  await endUnwrap(target.jobId)
  await closeSession(target.jobId)
  await discardImage(target)
}

async function hashExisting(
  params: { target: ImageTarget; algorithms: readonly DigestAlgorithm[] },
  call: WorkerCall,
): Promise<Digests> {
  const hashes = params.algorithms.map((name) => [name, createHash(name)] as const)
  let done = 0
  const stream = createReadStream(imagePath(params.target), { highWaterMark: 1024 * 1024, signal: call.signal })
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (const [, hash] of hashes) hash.update(chunk)
    done += chunk.length
    call.emit({ bytesReceived: done, bytesDurable: done } satisfies TransferEvent)
  }
  return Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')]))
}

async function closeSession(jobId: string): Promise<void> {
  const session = sessions.get(jobId)
  sessions.delete(jobId)
  await session?.close()
}
