/**
 * The rows of a table of moments at which something is killed: every third one in the tier `host`, which runs before each landing, all of them in `host-faults`. One moment proves that the operation
 * is taken up or undone after a kill; the others that this holds wherever it is cut.
 */
export function moments<T extends unknown[] | [unknown]>(rows: readonly T[]): readonly T[]
export function moments<T>(rows: readonly T[]): readonly T[]
export function moments<T>(rows: readonly T[]): readonly T[] {
  return process.env['LIMIQUANTIX_EVERY_MOMENT'] === '1' ? rows : rows.filter((_row, index) => index % 3 === 0)
}
