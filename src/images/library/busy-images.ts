import type { OperationManager } from '../../operations/manager.ts'
import { isFinal } from '../../operations/operation.ts'

const PREFIX = 'image:'

/** Paths that jobs make, convert or wait for now: no images yet. */
export function imagesOfJobs(operations: Pick<OperationManager, 'list'>): Set<string> {
  const locks = operations.list().flatMap((record) => (isFinal(record.state) ? [] : record.locks))
  return new Set(locks.filter((lock) => lock.startsWith(PREFIX)).map((lock) => lock.slice(PREFIX.length)))
}
