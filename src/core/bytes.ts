/** 2^10. */
export const KIB = 1024
/** 2^20. */
export const MIB = 1024 * KIB
/** 2^30. */
export const GIB = 1024 * MIB

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** A size for people: `1.5 GiB`, `12 B`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`
}
