import type { Procedure } from '../program.ts'

/** One line of a generated procedure table. */
export function procedure(
  number: number,
  highPriority: boolean,
  encode: Procedure['encode'],
  decode: Procedure['decode'],
  domainPath?: string,
  stream?: 'read' | 'write',
): Procedure {
  return { number, highPriority, encode, decode, domainPath, stream }
}
