import { isDeepStrictEqual } from 'node:util'

/** Numbers that are words of the protocol; all others are measurements. */
const WORDS: ReadonlySet<string> = new Set(['health', 'eventType', 'state', 'cpuCores', 'memoryMib', 'sizeGib'])
/** Texts that no two runs have in common. */
const FREE_TEXT: ReadonlySet<string> = new Set([
  'version',
  'hypervisorVersion',
  'message',
  'stateHash',
  'checksum',
  'modifiedAt',
  'startedAt',
  'completedAt',
  'serverTimeUnix',
])
/** Facts of the host. */
const HOST: ReadonlySet<string> = new Set(['cpuInfo', 'memoryInfo', 'storageDevices', 'networkDevices', 'hostInfo'])

/**
 * What two runs of one session must have in common of a message: keys, types, texts, and numbers that are words of the protocol. Measurements, times and facts of the host only have
 * to be there. An unfilled variable (`${job}`) is whatever the other run has in its place.
 */
export function essence(value: unknown, key = ''): unknown {
  if (HOST.has(key)) return 'host'
  if (FREE_TEXT.has(key) && value !== null && value !== '') return 'text'
  if (typeof value === 'number') return WORDS.has(key) ? value : 'number'
  if (Array.isArray(value)) return value.map((item) => essence(item, key))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, essence(item, name)]))
}

/** True when two messages have the same essence. */
export function agree(recorded: unknown, now: unknown): boolean {
  return isDeepStrictEqual(essence(recorded), essence(now))
}

/** Variables of a recorded message that are still unfilled, with what another message has in their places. */
export function bindings(recorded: unknown, now: unknown): Record<string, string> {
  if (typeof recorded === 'string' && typeof now === 'string') {
    const name = /^\$\{(\w+)\}$/.exec(recorded)?.[1]
    return name === undefined ? {} : { [name]: now }
  }
  if (typeof recorded !== 'object' || recorded === null || typeof now !== 'object' || now === null) return {}
  const other = now as Readonly<Record<string, unknown>>
  return Object.assign({}, ...Object.entries(recorded).map(([key, item]) => bindings(item, other[key]))) as Record<
    string,
    string
  >
}
