import { chmod, glob, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { RbdSource } from '../../../src/core/model.ts'
import { copyImage } from '../../../src/storage/copy-image.ts'
import * as foreign from '../../../src/storage/qemu-img-foreign.ts'
import * as own from '../../../src/storage/qemu-img.ts'

const root = path.resolve(import.meta.dirname, '../../..')
/** The only files that may start qemu-img. */
const OWNERS = ['src/storage/qemu-img.ts', 'src/storage/qemu-img-confined.ts']
const INFO = '{"format":"qcow2","virtual-size":512,"required":0}'
const ctx = { signal: new AbortController().signal, log: silentLogger }

/** Whether a command line states the format of everything qemu-img opens: of the image, and of a backing file. */
function statesFormats(line: string): boolean {
  const image = /\s-f \S|--image-opts .*\bdriver=/.test(line)
  const target = !/\sconvert\s/.test(line) || /\s-O \S/.test(line)
  const backing = !/\s-b \S/.test(line) || /\s-F \S/.test(line)
  return image && target && backing
}

describe('qemu-img is always told the format', () => {
  it('is started by two source files only', async () => {
    const others: string[] = []
    for await (const file of glob('src/**/*.ts', { cwd: root })) {
      const text = await readFile(path.join(root, file), 'utf8')
      // As the name of a field it starts nothing.
      if (/['"]qemu-(img|io|nbd)['"](?!:)/.test(text) && !OWNERS.includes(file)) others.push(file)
    }
    expect(others).toEqual([])
  })

  it('in every script', async () => {
    const lines: string[] = []
    for await (const entry of glob('scripts/**/*', { cwd: root, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const text = (await readFile(path.join(entry.parentPath, entry.name), 'utf8')).replaceAll('\\\n', ' ')
      lines.push(...(text.match(/^.*\bqemu-img (?!--version)[a-z]+ .*$/gm) ?? []))
    }
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.filter((line) => !statesFormats(line))).toEqual([])
  })

  describe('by the agent', () => {
    let directory: string
    const { PATH } = process.env

    beforeAll(async () => {
      directory = await mkdtemp(path.join(tmpdir(), 'lqx-qemu-img-'))
      const stub = async (name: string, body: string) => {
        await writeFile(path.join(directory, name), `#!/bin/sh\n${body}\n`)
        await chmod(path.join(directory, name), 0o755)
      }
      await stub('qemu-img', `echo "qemu-img $*" >> ${directory}/calls\necho '${INFO}'`)
      // In a cage the program above would not be there.
      await stub('bwrap', 'exit 1')
      await stub('systemd-run', 'exit 1')
      process.env['PATH'] = `${directory}:${PATH}`
    })
    afterAll(async () => {
      process.env['PATH'] = PATH
      await rm(directory, { recursive: true })
    })

    const backing = { path: '/b', format: 'raw' } as const
    const source = { place: '/a', format: 'qcow2' } as const
    const image = { path: '/a', driver: 'vpc' } as const
    const name = 'volume b of pool p1'
    const into = { name, place: '/b', format: 'qcow2' } as const
    const disk = { virtualSizeBytes: 512 }
    const ceph: RbdSource = {
      type: 'network',
      protocol: 'rbd',
      name: 'rbd/a',
      monitors: [{ host: 'mon', port: 6789 }],
      user: 'vms',
      secretUuid: '',
      configFile: '/c.conf',
      format: 'raw',
    }
    /** Every function that starts qemu-img on an image, with all that changes what is opened. */
    const calls: Readonly<Record<string, () => Promise<unknown>[]>> = {
      createImage: () => [
        own.createImage({ path: '/a', format: 'qcow2', sizeBytes: 512 }, ctx),
        own.createImage({ path: '/a', format: 'qcow2', sizeBytes: 512, backing }, ctx),
      ],
      hasWriter: () => [own.hasWriter('/a', 'raw', ctx)],
      imageInfo: () => [own.imageInfo('/a', 'raw', ctx)],
      dataBytes: () => [own.dataBytes('/a', 'qcow2', ctx)],
      holdSameBytes: () => [own.holdSameBytes(source, { place: '/b', format: 'raw' }, 5_000, ctx)],
      removeBitmap: () => [own.removeBitmap('/a', 'b', ctx)],
      commitImage: () => [own.commitImage('/a', 5_000, ctx)],
      rebaseImage: () => [own.rebaseImage('/a', backing, ctx)],
      nameBackingBeside: () => [own.nameBackingBeside('/a', { name: 'b', format: 'qcow2' }, ctx)],
      resizeImage: () => [own.resizeImage('/a', 'raw', 512, ctx)],
      changeSnapshot: () => [
        own.changeSnapshot('create', '/a,b', 's', ctx),
        own.changeSnapshot('delete', '/a', 's', ctx),
      ],
      foreignImageInfo: () => [foreign.foreignImageInfo(image, ctx)],
      foreignDataBytes: () => [foreign.foreignDataBytes(image, ctx)],
      checkForeignImage: () => [foreign.checkForeignImage(image, ctx)],
      copyImage: () => [
        copyImage(source, { name, place: '/b', format: 'raw' }, disk, ctx),
        copyImage({ ...source, snapshot: 's' }, { name, place: '/b', format: 'raw', zeroed: true }, disk, ctx),
        copyImage({ place: '/a', format: 'vpc' }, { ...into, compression: 'zstd', direct: true }, disk, ctx),
        copyImage(source, { name, place: ceph, format: 'raw', zeroed: true }, disk, ctx),
        copyImage({ place: ceph, format: 'raw' }, into, disk, ctx),
        // What is looked at below it is named by its header.
        copyImage(source, into, { ...disk, backingFile: 'below', backingFormat: 'qcow2' }, ctx),
      ],
    }
    /** What else these modules export opens no image. */
    const HARMLESS = [
      ...['imageFileName', 'imagePlace', 'qemuImgError', 'qemuImgVersion'],
      ...[
        'confinedFileName',
        'placeAccess',
        'placeText',
        'sourceArguments',
        'TABLES_ADDRESS_SPACE',
        'WHOLE_ADDRESS_SPACE',
      ],
    ]

    it('in every call', async () => {
      expect([...Object.keys(calls), ...HARMLESS].sort()).toEqual(Object.keys({ ...own, ...foreign, copyImage }).sort())
      for (const call of Object.values(calls)) await Promise.all(call())
      const lines = (await readFile(path.join(directory, 'calls'), 'utf8')).trim().split('\n')
      const commands = lines.map((line) => line.split(' ')[1])
      expect(new Set(commands)).toEqual(
        new Set([
          'create',
          'info',
          'measure',
          'commit',
          'rebase',
          'resize',
          'snapshot',
          'convert',
          'check',
          'compare',
          'bitmap',
        ]),
      )
      expect(lines.filter((line) => !statesFormats(line))).toEqual([])
    })
  })
})
