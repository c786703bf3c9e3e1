import { z } from 'zod'

/** Building blocks of request and answer schemas. Requests tolerate unknown keys and `null` for "not given"; answers are exact. */

/** Text that may be missing or null; read as ''. */
export const optionalText = z
  .string()
  .nullish()
  .transform((value) => value ?? '')

/** A flag that may be missing or null; read as false. */
export const optionalFlag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false)

/** A whole number that may be missing or null; read as 0. */
export const optionalCount = z
  .int()
  .nonnegative()
  .nullish()
  .transform((value) => value ?? 0)

/** An unsigned integer of an answer: a JSON number, never text. */
export const unsigned = z.int().nonnegative()

/** ISO 8601 time with milliseconds, UTC. */
export const time = z.iso.datetime()

/** A decimal number in a query string. */
export const queryNumber = z
  .string()
  .regex(/^\d{1,9}$/, 'must be a decimal number of at most 9 digits')
  .optional()

/** Milliseconds since the epoch as `time`. */
export function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
