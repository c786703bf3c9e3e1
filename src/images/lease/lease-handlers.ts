import { randomUUID } from 'node:crypto'
import type { WorkerHandlers } from '../../platform/workers.ts'
import { openTarget, tempName, type ImageTarget } from '../image-target.ts'
import { imageLeases, type ImageLease, type LeaseFacts } from './lease-file.ts'

/** Parameters of the methods below; each uses what it needs. */
export interface LeaseParams {
  readonly target: ImageTarget
  /** Of the lease before (`take`), or of one's own. */
  readonly token: number
  readonly facts: LeaseFacts
}

/** The pool I/O of leases: part of the transfer worker. */
export const leaseHandlers: WorkerHandlers = {
  'lease.read': async ({ target }: LeaseParams): Promise<ImageLease | undefined> => {
    await using directory = await openTarget(target, 'make')
    return await imageLeases.read(directory, target.fileName)
  },
  'lease.take': async ({ target, token, facts }: LeaseParams): Promise<boolean> => {
    await using directory = await openTarget(target, 'make')
    const temporary = tempName(target, `lease-${randomUUID()}`)
    return await imageLeases.take(directory, target.fileName, token, facts, temporary)
  },
  'lease.beat': async ({ target, token, facts }: LeaseParams): Promise<boolean> => {
    await using directory = await openTarget(target, 'refuse')
    return await imageLeases.beat(directory, target.fileName, token, facts)
  },
  'lease.release': async ({ target, token }: LeaseParams): Promise<void> => {
    await using directory = await openTarget(target, 'refuse')
    await imageLeases.release(directory, target.fileName, token)
  },
}
