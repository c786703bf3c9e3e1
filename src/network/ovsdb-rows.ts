/** A value of the Open vSwitch database: sets are lists, a set of one is its element; UUIDs are texts (RFC 7047, 5.1). */
export type OvsValue = string | number | boolean | readonly OvsValue[] | { readonly [key: string]: OvsValue }

/** One row of a table, by column. */
export type OvsRow = Readonly<Record<string, OvsValue>>

/** The rows in what `ovs-vsctl --format=json` prints of a table. Throws a SyntaxError or RangeError for anything else. */
export function parseRows(text: string): OvsRow[] {
  const table = JSON.parse(text) as { headings?: unknown; data?: unknown }
  if (!Array.isArray(table.headings) || !Array.isArray(table.data)) throw new RangeError('no table of ovs-vsctl')
  const { headings } = table
  return table.data.map((row: unknown) => {
    if (!Array.isArray(row)) throw new RangeError('no row of ovs-vsctl')
    return Object.fromEntries(headings.map((name, index) => [String(name), toValue(row[index])]))
  })
}

/** A column that is a map, with its values as text; empty for any other. */
export function mapOf(row: OvsRow, column: string): ReadonlyMap<string, string> {
  const value = row[column]
  if (typeof value !== 'object' || Array.isArray(value)) return new Map()
  return new Map(Object.entries(value).map(([key, one]) => [key, String(one)]))
}

/** A column with a text, or with an optional one: empty for an empty set. */
export function textOf(row: OvsRow, column: string): string {
  const value = row[column]
  return typeof value === 'string' ? value : ''
}

function toValue(raw: unknown): OvsValue {
  if (typeof raw === 'string' || typeof raw === 'number' || typeof raw === 'boolean') return raw
  if (!Array.isArray(raw)) throw new RangeError('no value of the Open vSwitch database')
  const [tag, content] = raw as [unknown, unknown]
  if (tag === 'uuid' || tag === 'named-uuid') return String(content)
  if (tag === 'set' && Array.isArray(content)) return content.map(toValue)
  if (tag === 'map' && Array.isArray(content)) {
    return Object.fromEntries((content as [unknown, unknown][]).map(([key, value]) => [String(key), toValue(value)]))
  }
  throw new RangeError('no value of the Open vSwitch database')
}
