/** Bytes `first` to `last` of a representation, both included. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/**
 * What a Range header (RFC 9110, 14.2) asks of `size` bytes: a range, `unsatisfiable`, or undefined for the whole: without a header, and for forms that a server may
 * ignore (several ranges, other units, nonsense).
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? '')
  const [from, to] = [match?.[1] ?? '', match?.[2] ?? '']
  if (from === '' && to === '') return undefined
  if (from === '') {
    const length = Math.min(Number(to), size)
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 }
  }
  const first = Number(from)
  const last = to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (to !== '' && Number(to) < first) return undefined
  return first >= size ? 'unsatisfiable' : { first, last }
}
