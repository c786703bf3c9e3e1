import type { WorkerCall, WorkerHandlers } from '../../platform/workers.ts'
import { quote } from '../../core/ids.ts'
import { poolError } from '../../storage/worker/errno.ts'
import { at } from '../../storage/worker/pool-root.ts'
import type { TransferEvent } from '../image-fetch.ts'
import { imagePath, openTarget, receivedNames, unwrappedName, type ImageTarget } from '../image-target.ts'
import type { DigestAlgorithm } from '../verify.ts'
import { EarlyUnwrap } from './early-unwrap.ts'
import { unwrapFile, type UnwrappedFile } from './unwrap.ts'

/** Parameters of `image.unwrap`. */
export interface UnwrapParams {
  readonly target: ImageTarget
  /** Name in the target's directory. */
  readonly from: string
  readonly algorithms: readonly DigestAlgorithm[]
}

/** What was begun while the file was received, by job. */
const early = new Map<string, EarlyUnwrap>()

/** Taking images out of their wrappers: part of the transfer worker. */
export const unwrapHandlers: WorkerHandlers = { 'image.unwrap': unwrap }

/** Begins to unwrap what the job receives; `image.unwrap` gets the result. Errors: those of openTarget. */
export async function beginUnwrap(target: ImageTarget, algorithms: readonly DigestAlgorithm[]): Promise<EarlyUnwrap> {
  const directory = await openTarget(target, 'refuse')
  const names = { from: receivedNames(target).file, to: unwrappedName(target) }
  const begun = new EarlyUnwrap(directory, { ...names, algorithms })
  early.set(target.jobId, begun)
  return begun
}

/** Ends what was begun for the job. */
export async function endUnwrap(jobId: string): Promise<void> {
  const begun = early.get(jobId)
  early.delete(jobId)
  await begun?.stop()
}

async function unwrap(
  { target, from, algorithms }: UnwrapParams,
  call: WorkerCall,
): Promise<UnwrappedFile | undefined> {
  const onProgress = ({ read, written }: { readonly read: number; readonly written: number }) =>
    call.emit({ bytesReceived: read, bytesDurable: written } satisfies TransferEvent)
  const giveUp = () => void endUnwrap(target.jobId)
  call.signal.addEventListener('abort', giveUp, { once: true })
  try {
    const inside = await early.get(target.jobId)?.result(onProgress)
    await endUnwrap(target.jobId)
    call.signal.throwIfAborted()
    if (inside !== undefined) return inside
    await using directory = await openTarget(target, 'refuse')
    const [source, to] = [at(directory, from), at(directory, unwrappedName(target))]
    return await unwrapFile({ from: source, to, algorithms, signal: call.signal, onProgress })
  } catch (error) {
    throw poolError(error, quote(imagePath(target)))
  } finally {
    call.signal.removeEventListener('abort', giveUp)
  }
}
