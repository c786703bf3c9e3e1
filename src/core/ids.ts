import { AgentError } from './errors.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/

/** True for the textual form of RFC 9562 (any version). */
export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** A UUID in lower case; INVALID_REQUEST naming `field` otherwise. */
export function parseUuid(text: string, field: string): string {
  if (!isUuid(text)) throw new AgentError('INVALID_REQUEST', `${field}: ${quote(text)} is not a UUID`)
  return text.toLowerCase()
}

/** True for what `parseId` takes. */
export function isId(text: string): boolean {
  return ID.test(text) && !text.includes('..')
}

/** An object id that is safe as one path component: letters, digits, `_.-`, at most 128, first one alphanumeric. */
export function parseId(text: string, field: string): string {
  if (!isId(text)) {
    throw new AgentError(
      'INVALID_NAME',
      `${field}: ${quote(text)} is not allowed; use 1 to 128 letters, digits, dots, dashes and underscores`,
    )
  }
  return text
}

/** Untrusted text for an error message: JSON-quoted and cut, so that control characters and length cannot do harm. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}
