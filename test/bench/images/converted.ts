import { execFile } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { missingCommand } from '../../host/require.ts'
import { agentRun, shell } from '../download.ts'
import { printTable } from '../measure.ts'
import { COLUMNS, sideBySide } from './side-by-side.ts'
import { someNoise } from './some-noise.ts'
import type { ImageBench, ImageSection } from './section.ts'

const exec = promisify(execFile)

const FOREIGN = [
  { format: 'vmdk', options: ['-o', 'subformat=streamOptimized'] },
  { format: 'vhdx', options: [] },
  { format: 'raw', options: [] },
] as const

/** Images that become qcow2: the whole job (received, hashed, judged by two readers, converted, judged again, durable, published) beside `qemu-img convert` alone on a local file. */
export const converted: ImageSection = { name: 'converted', missing: async () => missingCommand('qemu-img')(), run }

async function run(bench: ImageBench): Promise<void> {
  const source = path.join(bench.directory, 'source')
  await mkdir(source, { recursive: true })
  const raw = path.join(source, 'disk.raw')
  await pipeline(Readable.from(someNoise(bench.sizeBytes)), createWriteStream(raw))
  for (const { format, options } of FOREIGN) {
    const image = path.join(source, `disk.${format}`)
    if (image !== raw) await exec('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, raw, image])
    const convert = (from: string) => `qemu-img convert -f ${format} -O qcow2 ${from} "$1"`
    const rows = await sideBySide(bench, image, [
      { name: `qemu-img convert -f ${format}`, run: (place, file) => shell(convert(`'${image}'`), place, file) },
      {
        name: 'curl, then qemu-img convert',
        run: (place, file) =>
          shell(`curl -sf -o "$1.part" "$0" && ${convert('"$1.part"')} && rm "$1.part"`, place, file),
      },
      {
        name: 'the same, checked, sync',
        run: (place, file) => {
          const check = `echo '${place.sha256}' "$1.part" | sha256sum -c && qemu-img info -f ${format} "$1.part"`
          const script = `curl -sf -o "$1.part" "$0" && ${check} && ${convert('"$1.part"')} && qemu-img check -f qcow2 "$1" && sync "$1"`
          return shell(`${script} && rm "$1.part"`, place, file)
        },
      },
      {
        name: `limiquantix-node, ${format} to qcow2`,
        run: (place, file) => agentRun(bench.agent, place, file, { format: 'qcow2' }),
      },
    ])
    await rm(image, { force: image !== raw })
    printTable(
      `${format} to qcow2, disk of ${(bench.sizeBytes / 2 ** 30).toFixed(2)} GiB, median of ${bench.rounds} interleaved rounds`,
      COLUMNS,
      rows,
    )
  }
}
