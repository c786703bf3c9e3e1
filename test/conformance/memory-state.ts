import type { StateCollection } from '../../src/platform/state-store.ts'

/** A StateCollection in memory that, like the real one, keeps values as JSON and lists them by key. */
export function memoryCollection<T>(): StateCollection<T> {
  const values = new Map<string, string>()
  return {
    get(key) {
      const text = values.get(key)
      return Promise.resolve(text === undefined ? undefined : (JSON.parse(text) as T))
    },
    put(key, value) {
      values.set(key, JSON.stringify(value))
      return Promise.resolve()
    },
    delete(key) {
      values.delete(key)
      return Promise.resolve()
    },
    entries() {
      const sorted = [...values].sort(([a], [b]) => (a < b ? -1 : 1))
      return Promise.resolve(sorted.map(([key, text]) => [key, JSON.parse(text) as T]))
    },
  }
}
