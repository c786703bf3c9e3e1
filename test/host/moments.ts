import { test } from 'vitest'

/** Whether this is a tier that has the time for everything: `host-faults` or `rig-faults`. */
export const everyMoment = process.env['LIMIQUANTIX_EVERY_MOMENT'] === '1'

/**
 * The rows of a table of moments at which something is killed: every fourth one, from the first on, in the tiers that run before each landing, all of them in `host-faults` and `rig-faults`. One moment proves that the operation
 * is taken up or undone after a kill; the others that this holds wherever it is cut.
 */
export function moments<T extends unknown[] | [unknown]>(rows: readonly T[]): readonly T[]
export function moments<T>(rows: readonly T[]): readonly T[]
export function moments<T>(rows: readonly T[]): readonly T[] {
  return everyMoment ? rows : rows.filter((_row, index) => index % 4 === 0)
}

/** A test of a fault that takes about a minute to be noticed and to go, beside others that do not: in `host-faults` or `rig-faults` alone. */
export function slowFault(name: string, run: () => Promise<void>, timeoutMs?: number): void {
  if (everyMoment) test(name, run, timeoutMs)
}
