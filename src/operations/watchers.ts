import type { OperationRecord } from './operation.ts'

/** Hears of every change of a record. */
export type OperationListener = (record: OperationRecord) => void

/** Who wants to hear of which operation, and how often each has changed. */
export class OperationWatchers {
  readonly #byId = new Map<string, Set<OperationListener>>()
  readonly #all = new Set<OperationListener>()
  readonly #versions = new Map<string, number>()
  #last = 0

  /** Calls `listener` at every change of one operation; returns the function that stops it. */
  add(id: string, listener: OperationListener): () => void {
    const listeners = this.#byId.get(id) ?? new Set()
    this.#byId.set(id, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.#byId.get(id) === listeners) this.#byId.delete(id)
    }
  }

  /** The same for all operations. */
  addForAll(listener: OperationListener): () => void {
    this.#all.add(listener)
    return () => this.#all.delete(listener)
  }

  /** Another number after every change within this process; 0 before the first one. */
  version(id: string): number {
    return this.#versions.get(id) ?? 0
  }

  /** Tells of a change. */
  publish(record: OperationRecord): void {
    this.#versions.set(record.id, ++this.#last)
    for (const listener of [...(this.#byId.get(record.id) ?? []), ...this.#all]) listener(record)
  }

  /** The operation is forgotten. */
  forget(id: string): void {
    this.#versions.delete(id)
  }
}
