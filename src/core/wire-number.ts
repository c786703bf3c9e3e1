/** A measured number as an unsigned integer can carry it: whole, not negative, 0 for what is not a number. */
export function toUnsigned(value: number): number {
  return value > 0 ? Math.min(Math.trunc(value), Number.MAX_SAFE_INTEGER) : 0
}
