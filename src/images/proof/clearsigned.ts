/** The signed text of a clear-signed message (RFC 9580, 7) and nothing around it; undefined when `text` is none, or more than one. Says nothing about the signature. */
export function clearsignedText(text: string): string | undefined {
  const lines = text.split(/\r?\n/)
  const begins = indexesOf(lines, '-----BEGIN PGP SIGNED MESSAGE-----')
  const ends = indexesOf(lines, '-----BEGIN PGP SIGNATURE-----')
  const [begin, end] = [begins[0], ends[0]]
  if (begin === undefined || end === undefined || begins.length > 1 || ends.length > 1) return undefined
  // An empty line ends the armor headers.
  const body = lines.indexOf('', begin) + 1
  if (body === 0 || body > end) return undefined
  return lines
    .slice(body, end)
    .map((line) => line.replace(/^- /, ''))
    .join('\n')
}

function indexesOf(lines: readonly string[], line: string): number[] {
  return lines.flatMap((each, index) => (each.trimEnd() === line ? [index] : []))
}
