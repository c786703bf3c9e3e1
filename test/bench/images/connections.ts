import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { agentRun, shell, type Source } from '../download.ts'
import { printTable } from '../measure.ts'
import { COLUMNS, sideBySide } from './side-by-side.ts'
import { someNoise } from './some-noise.ts'
import type { ImageBench, ImageSection } from './section.ts'

/** Of each connection: so little that nothing else is the limit. */
const MIB_PER_SECOND = 16
const MOST_BYTES = 256 * 2 ** 20

/** One image over several connections beside one, from a server that limits each of them. */
export const connections: ImageSection = { name: 'connections', run }

async function run(bench: ImageBench): Promise<void> {
  const sizeBytes = Math.min(bench.sizeBytes, MOST_BYTES)
  const source = path.join(bench.directory, 'source')
  await mkdir(source, { recursive: true })
  const raw = path.join(source, 'disk.img')
  await pipeline(Readable.from(someNoise(sizeBytes)), createWriteStream(raw))
  const over = (count: number) => ({
    name: `limiquantix-node, connections: ${count}`,
    run: (place: Source, file: string) => agentRun(bench.agent, place, file, { connections: count }),
  })
  const rows = await sideBySide(
    { ...bench, sizeBytes },
    raw,
    [over(1), { ...over(4), target: 3 }, { name: 'curl -o', run: (...at) => shell('curl -sf -o "$1" "$0"', ...at) }],
    MIB_PER_SECOND * 2 ** 20,
  )
  printTable(
    `download of ${(sizeBytes / 2 ** 20).toFixed(0)} MiB at ${MIB_PER_SECOND} MiB/s for each connection, median of ${bench.rounds} interleaved rounds`,
    COLUMNS,
    rows,
  )
}
