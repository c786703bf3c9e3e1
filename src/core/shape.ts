/**
 * Structural checks of parsed JSON for worker processes, where loading a schema library would take more memory than the work itself. Everywhere else zod does it.
 */
export type Check<T> = (value: unknown) => value is T

/** Any text. */
export const isText: Check<string> = (value): value is string => typeof value === 'string'
/** Text with at least one character. */
export const isFilled: Check<string> = (value): value is string => typeof value === 'string' && value !== ''
export const isBoolean: Check<boolean> = (value): value is boolean => typeof value === 'boolean'
export const isFiniteNumber: Check<number> = (value): value is number => Number.isFinite(value)

/** One of the given values. */
export function isOneOf<const T>(values: readonly T[]): Check<T> {
  return (value): value is T => values.includes(value as T)
}

/** A list of what `item` accepts. */
export function isListOf<T>(item: Check<T>): Check<T[]> {
  return (value): value is T[] => Array.isArray(value) && value.every(item)
}

/** An object whose fields pass their checks; further fields are ignored. */
export function isShape<T extends object>(fields: { readonly [K in keyof T]: Check<T[K]> }): Check<T> {
  const checks = Object.entries<Check<unknown>>(fields)
  return (value): value is T =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([key, check]) => check((value as Record<string, unknown>)[key]))
}

/** What one of the checks accepts. */
export function isEither<A, B>(first: Check<A>, second: Check<B>): Check<A | B> {
  return (value): value is A | B => first(value) || second(value)
}

/** The value of a JSON text that passes `check`, else undefined. */
export function parseShape<T>(text: string, check: Check<T>): T | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return check(value) ? value : undefined
}
