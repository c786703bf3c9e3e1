import { AgentError } from '../core/errors.ts'

/** Writes to standard output. */
export type Print = (text: string) => void

type Values = Readonly<Record<string, string | boolean | undefined>>

/** The words of one command: arguments in their order, options by name. What is wrong with them is USAGE. */
export class CommandLine {
  readonly #words: string[]
  readonly #values: Values
  readonly #print: Print

  constructor(words: readonly string[], values: Values, print: Print) {
    this.#words = [...words]
    this.#values = values
    this.#print = print
  }

  /** The next argument, or `absent`. */
  argument(absent: string): string {
    return this.#words.shift() ?? absent
  }

  /** The next argument, which has to be there. */
  required(what: string): string {
    const word = this.#words.shift()
    if (word === undefined) throw new AgentError('USAGE', `${what} is missing`)
    return word
  }

  /** There must be no further argument. */
  end(): void {
    if (this.#words.length > 0) throw new AgentError('USAGE', `unexpected argument ${JSON.stringify(this.#words[0])}`)
  }

  unknown(action: string): never {
    throw new AgentError('USAGE', `unknown action ${JSON.stringify(action)}`)
  }

  /** Whether an option without a value was given. */
  flag(name: string): boolean {
    return this.#values[name] === true
  }

  /** The given options as a query string; `pool` is the API's `poolId`. */
  query(...names: readonly string[]): string {
    const query = new URLSearchParams()
    for (const name of names) {
      const value = this.#values[name]
      if (typeof value === 'string') query.set(name === 'pool' ? 'poolId' : name, value)
    }
    return query.size === 0 ? '' : `?${query.toString()}`
  }

  /** The given options as keys of a body, by their names there. */
  body(names: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(
      Object.entries(names).flatMap(([option, key]) => {
        const value = this.#values[option]
        return typeof value === 'string' ? [[key, value]] : []
      }),
    )
  }

  /** An option that is a whole number, at least 1; undefined when it is not given. `what` says of what it is one. */
  count(name: string, what: string): number | undefined {
    const value = this.#values[name]
    if (typeof value !== 'string') return undefined
    if (/^[1-9]\d{0,8}$/.test(value)) return Number(value)
    throw new AgentError('USAGE', `--${name} is a number of ${what}, not ${JSON.stringify(value)}`)
  }

  /** Prints an answer: as JSON when asked for, else as text for people. */
  print(answer: unknown, text: () => string): void {
    this.#print(this.#values['json'] === true ? `${JSON.stringify(answer)}\n` : text())
  }
}
