import { styleText } from 'node:util'

const WIDTH = 30

/** Prints steps while they run and remembers their times for the table at the end. */
export class StepReport {
  readonly #steps: { name: string; detail: string; seconds: number }[] = []

  /** Runs one step under a heading; what `work` returns is its one-line result. */
  async step(
    name: string,
    work: (progress: (fraction: number, text: string) => void) => Promise<string>,
  ): Promise<void> {
    process.stdout.write(`${styleText('bold', `==> ${name}`)}\n`)
    const started = performance.now()
    const bar = new ProgressLine()
    try {
      const detail = await work((fraction, text) => bar.update(fraction, text))
      bar.end()
      this.#steps.push({ name, detail, seconds: (performance.now() - started) / 1000 })
      process.stdout.write(`    ${detail}\n`)
    } catch (error) {
      bar.end()
      process.stdout.write(
        styleText('red', `    failed after ${((performance.now() - started) / 1000).toFixed(1)} s\n`),
      )
      throw error
    }
  }

  /** The table of all steps so far. */
  table(): string {
    const name = Math.max(...this.#steps.map((step) => step.name.length))
    const lines = this.#steps.map(
      (step) => `  ${step.name.padEnd(name)}  ${step.seconds.toFixed(1).padStart(6)} s  ${step.detail}`,
    )
    const total = this.#steps.reduce((sum, step) => sum + step.seconds, 0)
    return [...lines, `  ${'total'.padEnd(name)}  ${total.toFixed(1).padStart(6)} s`].join('\n')
  }
}

// One line that is redrawn on a terminal, and a line per tenth elsewhere (logs of CI).
class ProgressLine {
  #drawn = false
  #lastTenth = -1

  update(fraction: number, text: string): void {
    const filled = Math.round(Math.min(1, Math.max(0, fraction)) * WIDTH)
    const line = `    [${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${text}`
    if (process.stdout.isTTY) {
      process.stdout.write(`\r${line}\u001b[K`)
      this.#drawn = true
      return
    }
    const tenth = Math.floor(fraction * 10)
    if (tenth === this.#lastTenth) return
    this.#lastTenth = tenth
    process.stdout.write(`${line}\n`)
  }

  end(): void {
    if (this.#drawn) process.stdout.write('\r\u001b[K')
    this.#drawn = false
  }
}
