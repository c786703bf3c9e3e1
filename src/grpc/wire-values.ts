import type { Timestamp } from './gen/google/protobuf/Timestamp.ts'

/** Milliseconds since the epoch as a protobuf timestamp. */
export function toTimestamp(ms: number): Timestamp {
  const whole = Math.floor(ms)
  const seconds = Math.floor(whole / 1000)
  return { seconds, nanos: (whole - seconds * 1000) * 1_000_000 }
}
