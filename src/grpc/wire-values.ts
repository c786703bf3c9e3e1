import type { Timestamp } from './gen/google/protobuf/Timestamp.ts'

/** Milliseconds since the epoch as a protobuf timestamp. */
export function toTimestamp(ms: number): Timestamp {
  const whole = Math.floor(ms)
  const seconds = Math.floor(whole / 1000)
  return { seconds, nanos: (whole - seconds * 1000) * 1_000_000 }
}

/** A measured number as an unsigned integer field can carry it: whole, not negative, 0 for what is not a number. */
export function toUnsigned(value: number): number {
  return value > 0 ? Math.min(Math.trunc(value), Number.MAX_SAFE_INTEGER) : 0
}
