import { execFile } from 'node:child_process'
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const ctx = { signal: new AbortController().signal, log: silentLogger }
const MIB = 1024 * 1024

describe.skipIf(missing !== undefined)('ImageInspector', () => {
  const worker = new WorkerProcess('transfer', 'inspect-test', silentLogger)
  const inspector = new ImageInspector(worker)
  let dir: string
  const qemuImg = (...args: string[]) => promisify(execFile)('qemu-img', args, { cwd: dir })

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-inspect-'))
    await writeFile(`${dir}/disk.raw`, rawDisk(4 * MIB))
  })
  afterAll(async () => {
    worker.close()
    await rm(dir, { recursive: true })
  })

  const good: [name: string, options: string][] = [
    ['version 3', ''],
    ['version 2', 'compat=0.10'],
    ['small clusters', 'cluster_size=512'],
    ['large clusters', 'cluster_size=2M'],
    ['zstd', 'compression_type=zstd'],
    ['extended L2 entries', 'extended_l2=on'],
    ['narrow reference counts', 'refcount_bits=1'],
  ]
  it.each(good)('takes a qcow2 of %s', async (_name, options) => {
    await qemuImg(
      'convert',
      '-f',
      'raw',
      '-O',
      'qcow2',
      ...(options === '' ? [] : ['-o', options]),
      'disk.raw',
      'a.qcow2',
    )
    expect(await inspector.inspectWhole(`${dir}/a.qcow2`, ctx)).toMatchObject({
      format: 'qcow2',
      virtualSizeBytes: 4 * MIB,
    })
  })

  it('takes an empty one and one that was compressed', async () => {
    await qemuImg('create', '-q', '-f', 'qcow2', 'empty.qcow2', '10T')
    expect(await inspector.inspectWhole(`${dir}/empty.qcow2`, ctx)).toMatchObject({ virtualSizeBytes: 10 * 2 ** 40 })
    await qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'packed.qcow2')
    expect(await inspector.inspectWhole(`${dir}/packed.qcow2`, ctx)).toMatchObject({ virtualSizeBytes: 4 * MIB })
  })

  it('takes a raw disk', async () => {
    expect(await inspector.inspectWhole(`${dir}/disk.raw`, ctx)).toMatchObject({
      format: 'raw',
      virtualSizeBytes: 4 * MIB,
      fileSizeBytes: 4 * MIB,
    })
  })

  const refused: [name: string, reason: string, make: (file: string) => Promise<unknown>][] = [
    [
      'a backing file',
      'IMAGE_REFUSED',
      (f) => qemuImg('create', '-q', '-f', 'qcow2', '-b', 'disk.raw', '-F', 'raw', f),
    ],
    ['a data file', 'IMAGE_REFUSED', (f) => qemuImg('create', '-q', '-f', 'qcow2', '-o', 'data_file=x.raw', f, '1M')],
    [
      'encryption',
      'IMAGE_REFUSED',
      (f) =>
        qemuImg(
          ...['create', '-q', '-f', 'qcow2', '--object', 'secret,id=s,data=abc'],
          // Not LUKS: qemu-img times its key derivation first, which fails on a busy host. The header of both is in the unit tests.
          ...['-o', 'encrypt.format=aes,encrypt.key-secret=s', f, '1M'],
        ),
    ],
    ['VMDK', 'IMAGE_NOT_AN_IMAGE', (f) => qemuImg('create', '-q', '-f', 'vmdk', f, '1M')],
    ['VDI', 'IMAGE_NOT_AN_IMAGE', (f) => qemuImg('create', '-q', '-f', 'vdi', f, '1M')],
    ['VHDX', 'IMAGE_NOT_AN_IMAGE', (f) => qemuImg('create', '-q', '-f', 'vhdx', f, '8M')],
    [
      'a cluster past the end of the file',
      'IMAGE_REFUSED',
      async (f) => {
        await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', f)
        await truncate(`${dir}/${f}`, (await readFile(`${dir}/${f}`)).length - MIB)
      },
    ],
    [
      'a virtual size that was tampered with',
      'IMAGE_REFUSED',
      async (f) => {
        await qemuImg('create', '-q', '-f', 'qcow2', f, '1M')
        await using file = await open(`${dir}/${f}`, 'r+')
        await file.write(Buffer.from('4000000000000000', 'hex'), 0, 8, 24)
      },
    ],
    ['a FIFO', 'IMAGE_REFUSED', (f) => promisify(execFile)('mkfifo', [`${dir}/${f}`])],
  ]
  it.each(refused)('refuses %s with %s', async (name, reason, make) => {
    const file = `${name.replaceAll(' ', '-')}.img`
    await make(file)
    await expect(inspector.inspectWhole(`${dir}/${file}`, ctx)).rejects.toMatchObject({ reason })
  })

  it('shows a file to qemu-img again as soon as it has changed', async () => {
    const file = `${dir}/judged.qcow2`
    await qemuImg('create', '-q', '-f', 'qcow2', 'judged.qcow2', '1M')
    const withoutQemu = async () => {
      const { PATH } = process.env
      // The helper starts it, with the environment that it began with.
      await worker.reset()
      process.env['PATH'] = '/nowhere'
      try {
        return await inspector.inspect(file, ctx)
      } finally {
        process.env['PATH'] = PATH
        await worker.reset()
      }
    }
    // A file that was written a moment ago is not remembered at all.
    await expect(inspector.inspect(file, ctx).then(withoutQemu)).rejects.toMatchObject({ reason: 'COMMAND_MISSING' })
    await until(async () => {
      await inspector.inspect(file, ctx)
      return withoutQemu().catch(() => undefined)
    })
    await using handle = await open(file, 'r+')
    await handle.write(Buffer.from([0]), 0, 1, 500)
    await expect(withoutQemu()).rejects.toMatchObject({ reason: 'COMMAND_MISSING' })
  })

  it('says that a file is not there', async () => {
    const wait = inspector.inspect(`${dir}/none`, ctx)
    await expect(wait).rejects.toMatchObject({ reason: 'FILE_NOT_FOUND' })
  })
})
