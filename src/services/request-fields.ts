import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { Reason } from '../core/reasons.ts'

/**
 * Checks of single request fields, shared by the transports. Every check throws an INVALID_ARGUMENT error that begins with the name of the field as
 * the caller wrote it, and returns the value.
 */
export interface FieldChecks {
  /** A whole number within the bounds; 64-bit values past 2^53 do not pass. */
  integer(value: number, field: string, bounds: { min?: number; max?: number }): number
  /** Text of at most `maxBytes` in UTF-8 without control characters; `multiline` admits tab, line feed and carriage return. */
  text(value: string, field: string, limits: { maxBytes: number; required?: boolean; multiline?: boolean }): string
  /** The word for a value of an enumeration. */
  oneOf<K extends string | number, T>(value: K, field: string, words: Readonly<Record<K, T>>): T
  fail(field: string, complaint: string): never
}

/** Field checks that fail with `reason`, naming fields by `nameOf(path)`. */
export function fieldChecks(reason: Reason, nameOf: (path: string) => string = (path) => path): FieldChecks {
  const fail = (field: string, complaint: string): never => {
    throw new AgentError(reason, `${nameOf(field)}: ${complaint}`)
  }
  return {
    fail,
    integer(value, field, { min = 0, max = Number.MAX_SAFE_INTEGER }) {
      if (!Number.isSafeInteger(value) || value < min || value > max) {
        const given = Number.isSafeInteger(value) ? String(value) : 'the value'
        fail(field, `${given} is out of range; use ${min} to ${max}`)
      }
      return value
    },
    text(value, field, { maxBytes, required, multiline }) {
      if (required && value === '') fail(field, 'must not be empty')
      if (value.length > maxBytes || Buffer.byteLength(value) > maxBytes)
        fail(field, `is longer than ${maxBytes} bytes`)
      if (!value.isWellFormed()) fail(field, 'is not valid Unicode')
      if ((multiline ? CONTROL_EXCEPT_WHITESPACE : CONTROL).test(value)) {
        fail(field, `${quote(value)} has a control character`)
      }
      return value
    },
    oneOf(value, field, words) {
      if (!Object.hasOwn(words, value))
        fail(field, `${quote(String(value))} is not one of ${Object.keys(words).join(', ')}`)
      return words[value]
    },
  }
}

const CONTROL = /[\u0000-\u001f\u007f\ufffe\uffff]/
const CONTROL_EXCEPT_WHITESPACE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]/
