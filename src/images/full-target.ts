import type { OpContext } from '../core/context.ts'
import { withNumbers } from '../storage/full-pool.ts'
import type { DownloadParams } from './download-plan.ts'
import type { DownloadSpace } from './download-space.ts'
import type { ImageTarget } from './image-target.ts'
import type { TransferClient } from './transfer-client.ts'

const LOOK_TIMEOUT_MS = 10_000

/** What is asked when a write of a job failed. */
export interface TargetWork {
  readonly params: DownloadParams
  readonly target: ImageTarget
  readonly space: DownloadSpace
  readonly client: Pick<TransferClient, 'space'>
}

/** The place of a target for people: `pool ssd`, `directory /srv/iso`. */
export function targetPlace({ poolId }: DownloadParams, { guard, base }: ImageTarget): string {
  return guard === undefined ? `directory ${base}` : `pool ${poolId}`
}

/** The failure of work in a target, with the numbers when its file system became full under the work. Before what the job has written is removed. */
export async function explainFullTarget(
  error: unknown,
  { params, target, space, client }: TargetWork,
  ctx: Pick<OpContext, 'log'>,
): Promise<unknown> {
  const name = targetPlace(params, target)
  const write = { what: `image ${params.fileName}`, neededBytes: space.promisedBytes('source', 'further') }
  const look = async () => {
    const facts = await client.space(target, AbortSignal.timeout(LOOK_TIMEOUT_MS))
    return [{ name, ...facts }, write] as const
  }
  return withNumbers(error, look, ctx)
}

/** Runs `work` of a job that writes to its target and nowhere else, such as to the pool of a volume; a failure of it is that of explainFullTarget. */
export async function inTarget<T>(
  run: TargetWork & { readonly ctx: Pick<OpContext, 'log'> },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw await explainFullTarget(error, run, run.ctx)
  }
}
