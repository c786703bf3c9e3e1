import fc from 'fast-check'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { isAgentError } from '../../../src/core/errors.ts'
import { parseFile } from '../../../src/images/formats/drive.ts'
import { identify } from '../../../src/images/formats/identify.ts'
import { ImageRefusal } from '../../../src/images/formats/refusal.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { makeBases } from './corpus/bases.ts'
import type { BaseName, Bases } from './corpus/hostile-image.ts'

const missing =
  (await requirePrerequisite('qemu-img', missingCommand('qemu-img'))) ??
  (await requirePrerequisite('genisoimage', missingCommand('genisoimage')))
const ctx = { signal: new AbortController().signal, log: silentLogger }
const names = [
  'qcow2',
  'snapshots',
  'vmdk',
  'stream',
  'vhdx',
  'vpc',
  'fixedVpc',
  'vdi',
  'iso',
  'bootIso',
  'raw',
] as const
const PARSES = 200
const JUDGEMENTS = 12
/** Of processor time: more than any parser needs for the small bases. */
const SLOW_MS = 2_000

interface Edit {
  /** Number of the byte that is changed, among those that are not zero: where the headers and tables are. */
  readonly at: number
  readonly bytes: Uint8Array
}
const value = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 8 }),
  fc
    .constantFrom('00', 'ff', 'ffffffff', 'ffffffffffffffff', '00000000', '7fffffff', '80000000')
    .map((hex) => Buffer.from(hex, 'hex')),
)
const edits = fc.array(fc.record({ at: fc.nat(), bytes: value }), { minLength: 1, maxLength: 4 })

describe.skipIf(missing !== undefined)('images spoilt at random', () => {
  const worker = new WorkerProcess('storage', 'spoilt-images', silentLogger)
  const inspector = new ImageInspector(worker)
  let directory: string
  let bases: Bases
  const used = new Map<BaseName, number[]>()

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-spoilt-'))
    bases = await makeBases(directory)
    for (const name of names) used.set(name, usedBytes(bases[name]))
  })
  afterAll(async () => {
    worker.close()
    await rm(directory, { recursive: true })
  })

  const spoil = (name: BaseName, changes: readonly Edit[]) => {
    const image = Buffer.from(bases[name])
    const places = used.get(name) ?? []
    for (const { at, bytes } of changes)
      image.set(bytes.subarray(0, 8), Math.min(places[at % places.length] ?? 0, image.length - 8))
    return image
  }

  it.each(names)('of the base %s: our parsers tell or refuse, inside the file, in no time', async (name) => {
    await fc.assert(
      fc.asyncProperty(edits, async (changes) => {
        const image = spoil(name, changes)
        const began = process.threadCpuUsage()
        try {
          const format = identify(image.subarray(0, 69_632), image.subarray(-512))
          await parseFile(format.parse(image.length), ({ offset, length }) => {
            expect(offset + length).toBeLessThanOrEqual(image.length)
            return Promise.resolve(image.subarray(offset, offset + length))
          })
        } catch (error) {
          expect(error).toBeInstanceOf(ImageRefusal)
        }
        expect(process.threadCpuUsage(began).user / 1000).toBeLessThan(SLOW_MS)
      }),
      { numRuns: PARSES },
    )
  })

  it.each(names)('of the base %s: the gate with qemu-img gives a verdict', async (name) => {
    await fc.assert(
      fc.asyncProperty(edits, async (changes) => {
        const file = path.join(directory, 'spoilt')
        await writeFile(file, spoil(name, changes))
        const result: unknown = await inspector.judge(file, 'whole', ctx).catch((error: unknown) => error)
        if (!(result instanceof Error)) return
        expect(isAgentError(result, 'IMAGE_REFUSED', 'IMAGE_NOT_AN_IMAGE'), String(result)).toBe(true)
      }),
      { numRuns: JUDGEMENTS },
    )
  })
})

/** Offsets of the first bytes that are not zero, in steps that keep the data of the disk from being most of them. */
function usedBytes(image: Buffer): number[] {
  const places: number[] = []
  for (let at = 0; at < image.length && places.length < 4096; at++) if (image[at] !== 0) places.push(at)
  return places
}
