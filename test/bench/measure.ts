import { readdir, readFile } from 'node:fs/promises'

/** Percentile `p` (0..100) of the values. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor((p / 100) * sorted.length))] ?? NaN
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** What a process and its descendants use. */
export interface TreeUsage {
  readonly processes: number
  readonly rssBytes: number
  /** Of the process that has most. */
  readonly largestRssBytes: number
  /** User and system time since their start, without children that have ended. */
  readonly cpuSeconds: number
}

/** Reads /proc for `pid` and all its descendants. */
export async function treeUsage(pid: number): Promise<TreeUsage> {
  let processes = 0
  let rssBytes = 0
  let largestRssBytes = 0
  let cpuSeconds = 0
  for (const each of await descendants(pid)) {
    try {
      const stat = await readFile(`/proc/${each}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      cpuSeconds += (Number(fields[11]) + Number(fields[12])) / 100
      const own = Number(fields[21]) * 4096
      rssBytes += own
      largestRssBytes = Math.max(largestRssBytes, own)
      processes++
    } catch (error) {
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  return { processes, rssBytes, largestRssBytes, cpuSeconds }
}

async function descendants(pid: number): Promise<number[]> {
  const all = [pid]
  for (const parent of all) {
    try {
      for (const task of await readdir(`/proc/${parent}/task`)) {
        const children = await readFile(`/proc/${parent}/task/${task}/children`, 'utf8')
        all.push(...children.split(' ').filter(Boolean).map(Number))
      }
    } catch (error) {
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  return all
}

/** Rows of one comparison: prints figures beside the named peer with ratio and target, all from this run. */
export function printTable(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((cell, column) => Math.max(cell.length, ...rows.map((row) => (row[column] ?? '').length)))
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}`
  process.stdout.write(`\n${title}\n${line(header)}\n${line(widths.map((width) => '-'.repeat(width)))}\n`)
  for (const row of rows) process.stdout.write(`${line(row)}\n`)
}

/** `met` or `MISSED` beside a target. */
export function verdict(met: boolean): string {
  return met ? 'met' : 'MISSED'
}
