import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { crc32c } from '../../../src/images/formats/crc32c.ts'
import type { ImageFormatName } from '../../../src/images/formats/format.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { diskBytes } from './corpus/bases.ts'
import { withFooter } from './corpus/hostile-vmdk.ts'
import { seal } from './corpus/hostile-vpc.ts'

const missing =
  (await requirePrerequisite('qemu-img', missingCommand('qemu-img'))) ??
  (await requirePrerequisite('genisoimage', missingCommand('genisoimage'))) ??
  (await requirePrerequisite('xorriso', missingCommand('xorriso')))
const exec = promisify(execFile)
const ctx = { signal: new AbortController().signal, log: silentLogger }
const MIB = 1024 * 1024
const TIB = 2 ** 40

type Make = (file: string) => Promise<unknown>
type GoodImage = [name: string, format: ImageFormatName, virtualSizeBytes: number | undefined, make: Make]

let directory = ''
const at = (name: string) => path.join(directory, name)
const qemuImg = (...args: string[]) => exec('qemu-img', args)

/** The disk of 4 MiB, converted. */
const converted = (name: string, format: ImageFormatName, ...options: string[]): GoodImage => [
  `${format} ${name}`,
  format,
  4 * MIB,
  (file) => qemuImg('convert', '-f', 'raw', '-O', format, ...options, at('disk'), file),
]
const empty = (name: string, format: ImageFormatName, size: number, ...options: string[]): GoodImage => [
  `empty ${format} ${name}`,
  format,
  size,
  (file) => qemuImg('create', '-q', '-f', format, ...options, file, String(size)),
]
const qcow2With = (name: string, change: (file: string) => Promise<unknown>, size = 4 * MIB): GoodImage => [
  `qcow2 ${name}`,
  'qcow2',
  size,
  async (file) => {
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', at('disk'), file)
    await change(file)
  },
]
const changed = ([name, format, size, make]: GoodImage, what: string, change: (image: Buffer) => Buffer): GoodImage => [
  `${name} ${what}`,
  format,
  size,
  async (file) => {
    await make(file)
    await writeFile(file, change(await readFile(file)))
  },
]
const raw = (name: string, change: (disk: Buffer) => void): GoodImage => [
  `raw disk with ${name}`,
  'raw',
  4 * MIB,
  async (file) => {
    const disk = diskBytes(4 * MIB).fill(0, 510, 512)
    change(disk)
    await writeFile(file, disk)
  },
]
const iso = (name: string, ...options: string[]): GoodImage => [
  `ISO ${name}`,
  'iso',
  undefined,
  (file) => exec('genisoimage', ['-quiet', ...options, '-o', file, at('tree')]),
]
const xorriso = (name: string, ...options: string[]): GoodImage => [
  `ISO of xorriso ${name}`,
  'iso',
  undefined,
  (file) =>
    exec('xorriso', ['-as', 'mkisofs', '-quiet', ...options, '-o', file, at('tree')], {
      cwd: directory,
    }),
]
const elTorito = ['-b', 'boot', '-c', 'catalog', '-no-emul-boot', '-boot-load-size', '4']
const snapshot = (file: string, name: string) =>
  qemuImg('snapshot', '-q', '--image-opts', '-c', name, `driver=qcow2,file.driver=file,file.filename=${file}`)
const stream = converted('streamOptimized', 'vmdk', '-o', 'subformat=streamOptimized')
const fixedVhd = converted('fixed', 'vpc', '-o', 'subformat=fixed,force_size=on')

const corpus: GoodImage[] = [
  converted('v3', 'qcow2'),
  converted('v2', 'qcow2', '-o', 'compat=0.10'),
  ...['512', '4k', '2M'].map((size) => converted(`with clusters of ${size}`, 'qcow2', '-o', `cluster_size=${size}`)),
  ...['1', '64'].map((bits) => converted(`with ${bits}-bit refcounts`, 'qcow2', '-o', `refcount_bits=${bits}`)),
  converted('with extended L2 entries', 'qcow2', '-o', 'extended_l2=on,cluster_size=128k'),
  converted('with lazy refcounts', 'qcow2', '-o', 'lazy_refcounts=on'),
  converted('preallocated', 'qcow2', '-o', 'preallocation=metadata'),
  converted('compressed with zlib', 'qcow2', '-c'),
  converted('compressed with zstd', 'qcow2', '-c', '-o', 'compression_type=zstd'),
  empty('of 10 TiB', 'qcow2', 10 * TIB),
  empty('of 64 TiB', 'qcow2', 64 * TIB, '-o', 'cluster_size=2M'),
  qcow2With('with internal snapshots', async (file) => {
    await snapshot(file, 'first')
    await snapshot(file, 'another with a longer name')
  }),
  qcow2With('with a bitmap', (file) => qemuImg('bitmap', '--add', '-f', 'qcow2', file, 'backup')),
  qcow2With('that was grown', (file) => qemuImg('resize', '-q', '-f', 'qcow2', file, '1G'), 1024 * MIB),
  qcow2With('whose backing file was taken away', (file) =>
    qemuImg('rebase', '-q', '-u', '-f', 'qcow2', '-b', '', file),
  ),
  converted('monolithicSparse', 'vmdk'),
  converted('for LSI', 'vmdk', '-o', 'adapter_type=lsilogic,hwversion=13'),
  stream,
  changed(stream, 'with its directory at the end', withFooter),
  empty('of 1 TiB', 'vmdk', TIB),
  converted('dynamic', 'vhdx'),
  converted('fixed', 'vhdx', '-o', 'subformat=fixed'),
  ...['1M', '32M'].map((size) => converted(`with blocks of ${size}`, 'vhdx', '-o', `block_size=${size}`)),
  changed(
    converted('with blocks of 2M', 'vhdx', '-o', 'block_size=2M'),
    'and the id of a log without entries',
    (image) => {
      for (const header of [image.subarray(65_536, 69_632), image.subarray(131_072, 135_168)]) {
        header.write('some id', 48)
        header.writeUInt32LE(crc32c(header, 4), 4)
      }
      return image
    },
  ),
  empty('of 2 TiB', 'vhdx', 2 * TIB),
  converted('dynamic', 'vpc', '-o', 'force_size=on'),
  fixedVhd,
  // QEMU would take the smaller size of their geometry.
  ...['vbox', 'vs  ', 'abcd'].map((creator) =>
    changed(fixedVhd, `made by ${creator}`, (image) => {
      image.write(creator, image.length - 512 + 28)
      image.write('000010', image.length - 512 + 56, 'hex')
      seal(image.subarray(-512), 64)
      return image
    }),
  ),
  changed(
    converted('dynamic', 'vpc', '-o', 'force_size=on'),
    'with another time in the copy of its footer',
    (image) => {
      image.writeUInt32BE(1, 24)
      seal(image.subarray(0, 512), 64)
      return image
    },
  ),
  changed(stream, 'as an OVF tool describes it', (image) => {
    const text = image.toString('latin1', 512, image.indexOf(0, 512))
    const other = text
      .replace(/^RW/m, 'RDONLY')
      .replace(/SPARSE ".*"/, 'SPARSE "call-me-stream.vmdk"')
      .replace(/\n/g, '\r\n')
    image.fill(0, 512, 512 + text.length)
    image.write(`${other}encoding="windows-1252"\nddb.comment = "a=b"\nddb.comment = ""\n`, 512, 'latin1')
    return image
  }),
  empty('of 100 GiB', 'vpc', 100 * 1024 * MIB, '-o', 'force_size=on'),
  converted('dynamic', 'vdi'),
  converted('static', 'vdi', '-o', 'static=on'),
  empty('of 1 TiB', 'vdi', TIB),
  raw('an MBR', (disk) => void disk.write('55aa', 510, 'hex')),
  raw('a GPT', (disk) => {
    disk.write('EFI PART', 512)
    disk.writeBigUInt64LE(BigInt(disk.length / 512 - 1), 512 + 32)
  }),
  raw('a GPT of large sectors', (disk) => void disk.write('EFI PART', 4096)),
  raw('XFS', (disk) => void disk.write('XFSB', 0)),
  raw('ext4', (disk) => void disk.write('53ef', 0x438, 'hex')),
  iso('plain'),
  iso('with Joliet', '-J'),
  iso('with Rock Ridge', '-R'),
  iso('with Joliet, Rock Ridge and UDF', '-J', '-R', '-udf'),
  iso('that boots', '-J', '-R', ...elTorito),
  iso('without padding', '-no-pad'),
  iso('of cloud-init', '-J', '-R', '-V', 'cidata'),
  xorriso('plain'),
  xorriso('that boots', '-J', '-R', ...elTorito),
  xorriso('with an MBR', '-R', '--protective-msdos-label'),
  xorriso('with a partition behind it', '-R', '-append_partition', '2', '0xef', 'partition'),
]

describe.skipIf(missing !== undefined)('good images', () => {
  const worker = new WorkerProcess('storage', 'good-images', silentLogger)
  const inspector = new ImageInspector(worker)

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-good-'))
    await writeFile(at('disk'), diskBytes(3 * MIB))
    await truncate(at('disk'), 4 * MIB)
    await mkdir(at('tree'))
    await writeFile(at('tree/file'), 'content')
    await writeFile(at('tree/boot'), Buffer.alloc(2048, 1))
    await writeFile(at('partition'), Buffer.alloc(6 * MIB, 2))
  })
  afterAll(async () => {
    worker.close()
    await rm(directory, { recursive: true })
  })

  it('are of every format', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(30)
    expect(new Set(corpus.map(([, format]) => format)).size).toBe(7)
  })

  it.each(corpus)('%s is taken', async (_name, format, virtualSizeBytes, make) => {
    const file = at('good')
    await rm(file, { force: true })
    await make(file)
    const { length } = virtualSizeBytes === undefined ? await readFile(file) : { length: virtualSizeBytes }
    expect(await inspector.judge(file, 'whole', ctx)).toMatchObject({ format, virtualSizeBytes: length })
  })
})
