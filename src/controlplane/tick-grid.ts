import type { Pace } from './pace.ts'

/** Share of the interval that a tick may come later than its place on the grid: 0.3 s of 30. What keeps a fleet apart is that each agent's grid starts when it does. */
const JITTER = 0.01
/** Share of the interval between the latest end of one tick and the next one. */
const REST = 0.1
/** A timer may fire a little early: a place that close counts as reached. */
const REACHED = 0.01

/** Places in time at a fixed distance, each with a small jitter of its own: a late or slow tick never shifts the following ones. */
export class TickGrid {
  readonly #pace: Pace
  #origin: number
  #intervalMs: number

  /** The first place is now. */
  constructor(pace: Pace, intervalMs: number) {
    this.#pace = pace
    this.#origin = pace.now()
    this.#intervalMs = intervalMs
  }

  get intervalMs(): number {
    return this.#intervalMs
  }

  /** How long one tick may work so that the next one is in time. */
  budgetMs(): number {
    return this.#intervalMs * (1 - REST)
  }

  /** Time of the first tick whose place is after now. */
  next(): number {
    const passed = Math.floor((this.#pace.now() - this.#origin) / this.#intervalMs + REACHED)
    return this.#origin + (passed + 1) * this.#intervalMs + this.#pace.random() * JITTER * this.#intervalMs
  }

  /** Changes the distance; the grid then starts from now. The same distance again changes nothing. */
  setInterval(intervalMs: number): void {
    if (intervalMs === this.#intervalMs) return
    this.#origin = this.#pace.now()
    this.#intervalMs = intervalMs
  }
}
