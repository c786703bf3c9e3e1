import type { Exchange } from './traffic.ts'

/** What differs from host to host and from run to run, by the name under which a recording has it: `${pool}`. */
export type SessionVariables = Readonly<Record<string, string>>

/** Facts of the host that a recording leaves out: they say nothing about the conversation, and much about the machine. */
const HOST_FACTS: ReadonlySet<string> = new Set([
  'cpuInfo',
  'memoryInfo',
  'storageDevices',
  'networkDevices',
  'hostInfo',
])

/** A session as JSON lines: the names of its variables, then one exchange a line in the order of the calls, to be read by people and by `readSession`. */
export function writeSession(exchanges: readonly Exchange[], variables: SessionVariables): string {
  // The longest first: a path may be the beginning of another one.
  const byLength = Object.entries(variables).toSorted(([, a], [, b]) => b.length - a.length)
  const lines = exchanges
    .toSorted((a, b) => a.at - b.at)
    .map((exchange) =>
      byLength.reduce(
        (line, [name, value]) => line.replaceAll(value, `\${${name}}`),
        JSON.stringify(exchange, (key, value: unknown) => (HOST_FACTS.has(key) ? 'left out' : value)),
      ),
    )
  return [JSON.stringify({ variables: Object.keys(variables) }), ...lines, ''].join('\n')
}

/** The exchanges of a recording with the given variables put in; others stay as they are. */
export function readSession(text: string, variables: SessionVariables): Exchange[] {
  const [, ...lines] = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => fill(JSON.parse(line) as Exchange, variables))
}

/** A value with variables put into every text of it. */
export function fill<T>(value: T, variables: SessionVariables): T {
  const text = JSON.stringify(value).replace(/\$\{(\w+)\}/g, (placeholder, name: string) => {
    const given = variables[name]
    return given === undefined ? placeholder : JSON.stringify(given).slice(1, -1)
  })
  return JSON.parse(text) as T
}
