/** Rows as aligned text with a heading; control characters of values do no harm to a terminal. */
export function textTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const plain = [headings, ...rows].map((row) => row.map((cell) => cell.replace(/\p{Cc}/gu, '?')))
  const widths = headings.map((_, column) => Math.max(...plain.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
  return plain.map((row) => `${line(row).trimEnd()}\n`).join('')
}
