import type { StateCollection } from '../platform/state-store.ts'
import type { OperationRecord } from './operation.ts'

/** How much is kept of what has ended. */
export interface HistoryLimits {
  /** Records of one kind. */
  readonly maxCount: number
  readonly maxAgeMs: number
}

/** What is kept when nobody says otherwise. */
export const DEFAULT_HISTORY: HistoryLimits = { maxCount: 500, maxAgeMs: 30 * 24 * 60 * 60_000 }

/** Ended operations for callers who ask late, in memory and on disk. Each kind has its own limit, so that many of one do not push out the few of another. */
export class OperationHistory {
  readonly #records = new Map<string, OperationRecord>()
  readonly #store: StateCollection<OperationRecord>
  readonly #limits: HistoryLimits

  constructor(store: StateCollection<OperationRecord>, limits: HistoryLimits) {
    this.#store = store
    this.#limits = limits
  }

  /** Takes a record that is on disk. */
  add(record: OperationRecord): void {
    this.#records.set(record.id, record)
  }

  get(id: string): OperationRecord | undefined {
    return this.#records.get(id)
  }

  /** Every record by its id. */
  all(): ReadonlyMap<string, OperationRecord> {
    return this.#records
  }

  /** Forgets what is past the limits, on disk too; returns the ids. */
  async prune(now: number): Promise<string[]> {
    const surplus = [...this.#records.values()].filter((record) => this.#isOld(record, now))
    for (const kind of new Set([...this.#records.values()].map((record) => record.kind))) {
      const ofKind = [...this.#records.values()].filter((record) => record.kind === kind).sort(newestFirst)
      surplus.push(...ofKind.slice(this.#limits.maxCount))
    }
    const ids = [...new Set(surplus.map(({ id }) => id))]
    for (const id of ids) {
      this.#records.delete(id)
      await this.#store.delete(id)
    }
    return ids
  }

  // A clock that was set back makes nothing old.
  #isOld({ finishedAt = 0 }: OperationRecord, now: number): boolean {
    return now - finishedAt > this.#limits.maxAgeMs
  }
}

function newestFirst(a: OperationRecord, b: OperationRecord): number {
  return (b.finishedAt ?? 0) - (a.finishedAt ?? 0)
}
