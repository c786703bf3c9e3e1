import type { Logger } from './context.ts'
import { errorText } from './errors.ts'

/** Undo steps of one function, run in reverse order unless `commit` was called; a failing undo is logged and the rest still runs. */
export class Reverter {
  #steps: { name: string; undo: () => Promise<void> }[] = []
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  /** Remembers how to undo what was just done. */
  add(name: string, undo: () => Promise<void>): void {
    this.#steps.push({ name, undo })
  }

  /** Keeps everything: later `revert` does nothing. */
  commit(): void {
    this.#steps = []
  }

  /** Undoes in reverse order. */
  async revert(): Promise<void> {
    for (const { name, undo } of this.#steps.splice(0).reverse()) {
      try {
        await undo()
      } catch (error) {
        this.#log.error({ step: name, err: errorText(error) }, 'undo failed')
      }
    }
  }
}
