import { execFile } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { agentRun, shell } from '../download.ts'
import { printTable } from '../measure.ts'
import { COLUMNS, sideBySide } from './side-by-side.ts'
import { someNoise } from './some-noise.ts'
import type { ImageBench, ImageSection } from './section.ts'

const exec = promisify(execFile)

/** A compressor of a file (it leaves the file, and makes one with its suffix beside it) and its decompressor, to standard output. */
interface Packing {
  readonly suffix: string
  readonly pack: readonly [tool: string, ...args: string[]]
  readonly unpack: string
}

const XZ: Packing = { suffix: 'xz', pack: ['xz', '-1', '-T0', '-k'], unpack: 'xz -dc' }
const ZST: Packing = { suffix: 'zst', pack: ['zstd', '-q', '-3', '-T0', '-k'], unpack: 'zstd -dcq' }

/** Compressed images: the whole job (received, hashed, unpacked, judged, durable, published) beside the decompressor alone on a local file, whose bytes the next power cut takes, with a sync, and beside what it takes to have all of it by hand. */
export const wrapped: readonly ImageSection[] = [XZ, ZST].map((packing) => ({
  name: packing.suffix,
  run: (bench) => run(bench, packing),
}))

async function run(bench: ImageBench, { suffix, pack, unpack }: Packing): Promise<void> {
  const source = path.join(bench.directory, 'source')
  await mkdir(source, { recursive: true })
  const raw = path.join(source, 'disk.img')
  await pipeline(Readable.from(someNoise(bench.sizeBytes)), createWriteStream(raw))
  const [tool, ...args] = pack
  await exec(tool, [...args, raw])
  const packed = `${raw}.${suffix}`
  const share = ((await stat(packed)).size / bench.sizeBytes) * 100
  const verified = `curl -sf "$0" | tee >(sha256sum > /dev/null) | ${unpack} | tee "$1" | sha256sum && sync "$1"`
  const rows = await sideBySide(bench, packed, [
    { name: `${unpack} > file`, run: (place, file) => shell(`${unpack} '${packed}' > "$1"`, place, file) },
    {
      name: `${unpack} > file, then sync of the file`,
      run: (place, file) => shell(`${unpack} '${packed}' > "$1" && sync "$1"`, place, file),
    },
    {
      name: `curl | ${unpack} > file`,
      run: (place, file) => shell(`curl -sf "$0" | ${unpack} > "$1"`, place, file),
    },
    {
      name: `curl | ${unpack} > file, both digests, then sync`,
      run: (place, file) => shell(verified, place, file),
    },
    {
      name: `limiquantix-node, .${suffix}`,
      run: (place, file) => agentRun(bench.agent, place, file),
      target: 0.95,
    },
  ])
  printTable(
    `.${suffix} of a disk of ${(bench.sizeBytes / 2 ** 30).toFixed(2)} GiB (packed to ${share.toFixed(0)} %), median of ${bench.rounds} interleaved rounds`,
    COLUMNS,
    rows,
  )
}
