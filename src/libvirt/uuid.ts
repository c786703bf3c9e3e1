import { AgentError } from '../core/errors.ts'
import { isUuid, quote } from '../core/ids.ts'

/** The 16 bytes of a UUID as libvirt's calls take them; INVALID_REQUEST when it is none. */
export function uuidBytes(text: string): Uint8Array {
  if (!isUuid(text)) throw new AgentError('INVALID_REQUEST', `${quote(text)} is not a UUID`)
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

/** The text of a UUID of 16 bytes, in lower case with dashes. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
