import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Run, Source } from '../download.ts'
import { median, verdict } from '../measure.ts'
import type { ImageBench } from './section.ts'

const exec = promisify(execFile)

/** Who makes `file` of the image at `place`. The first one of a table is what the others are measured by. */
export interface Contender {
  readonly name: string
  readonly run: (place: Source, file: string) => Promise<Run>
  /** Our own is held against this share of the speed of the first one, if there is a target. */
  readonly target?: number
}

export const COLUMNS = ['', 'seconds', 'MiB/s', 'CPU s', 'RSS MiB', 'x first', 'target', '']

/** Serves the file `served` over loopback, each connection with at most `bytesPerSecond`, runs everybody in turns, and returns the rows of their table (COLUMNS); throughput is of the disk in the image. */
export async function sideBySide(
  { directory, rounds, sizeBytes }: ImageBench,
  served: string,
  contenders: readonly Contender[],
  bytesPerSecond = Infinity,
): Promise<string[][]> {
  const args = ['0', served, String(bytesPerSecond)]
  const server = fork(path.join(import.meta.dirname, '..', 'image-source.ts'), args)
  const runs = contenders.map((): Run[] => [])
  const order = [...contenders.entries()]
  try {
    const [place] = (await once(server, 'message')) as [Source]
    for (let round = 0; round < rounds; round++) {
      // Whoever comes first finds other memory free than whoever follows: each round begins with another one.
      const first = round % contenders.length
      for (const [index, contender] of [...order.slice(first), ...order.slice(0, first)]) {
        const file = path.join(directory, `bench-${round}.img`)
        runs[index]?.push(await contender.run(place, file))
        await rm(file, { force: true })
        await rm(path.join(directory, `.${path.basename(file)}.lqx.json`), { force: true })
        await exec('sync', ['-f', directory])
      }
    }
  } finally {
    server.kill()
  }
  return contenders.map((contender, index) => row(contender, runs[index] ?? [], runs[0] ?? [], sizeBytes))
}

function row({ name, target }: Contender, runs: readonly Run[], first: readonly Run[], sizeBytes: number): string[] {
  const seconds = median(runs.map((each) => each.seconds))
  const ratio = median(first.map((each) => each.seconds)) / seconds
  return [
    name,
    seconds.toFixed(2),
    (sizeBytes / 2 ** 20 / seconds).toFixed(0),
    median(runs.map((each) => each.cpuSeconds)).toFixed(2),
    (Math.max(...runs.map((each) => each.peakRssBytes)) / 2 ** 20).toFixed(0),
    ratio.toFixed(2),
    ...(target === undefined ? ['', ''] : [`>= ${target}`, verdict(ratio >= target)]),
  ]
}
