import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Bases } from './hostile-image.ts'

const MIB = 1024 * 1024
const exec = promisify(execFile)

/** A disk with an MBR and the same data every time. */
export function diskBytes(bytes: number): Buffer {
  const disk = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 4096) disk.writeUInt32LE((at * 2_654_435_761) >>> 0, at)
  disk.write('55aa', 510, 'hex')
  return disk
}

/** Makes the images that the hostile ones are made of, with qemu-img and genisoimage, in `directory`. */
export async function makeBases(directory: string): Promise<Bases> {
  const at = (name: string) => path.join(directory, name)
  await writeFile(at('raw'), diskBytes(MIB))
  await writeFile(at('disk'), Buffer.concat([diskBytes(2 * MIB), Buffer.alloc(2 * MIB)]))
  await mkdir(at('tree'))
  await writeFile(at('tree/file'), 'content')
  await writeFile(at('tree/boot'), Buffer.alloc(2048, 1))
  const convert = async (source: string, name: string, format: string, ...options: string[]) => {
    await exec('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, at(source), at(name)])
    return readFile(at(name))
  }
  const iso = async (name: string, ...options: string[]) => {
    await exec('genisoimage', ['-quiet', ...options, '-o', at(name), at('tree')])
    return readFile(at(name))
  }
  const qcow2 = await convert('raw', 'qcow2', 'qcow2')
  await writeFile(at('snapshots'), qcow2)
  const image = `driver=qcow2,file.driver=file,file.filename=${at('snapshots')}`
  for (const name of ['a', 'b']) await exec('qemu-img', ['snapshot', '-q', '--image-opts', '-c', name, image])
  return {
    qcow2,
    snapshots: await readFile(at('snapshots')),
    vmdk: await convert('raw', 'vmdk', 'vmdk'),
    stream: await convert('raw', 'stream', 'vmdk', '-o', 'subformat=streamOptimized'),
    vhdx: await convert('raw', 'vhdx', 'vhdx', '-o', 'block_size=1M'),
    vpc: await convert('raw', 'vpc', 'vpc', '-o', 'force_size=on'),
    fixedVpc: await convert('raw', 'fixedVpc', 'vpc', '-o', 'subformat=fixed,force_size=on'),
    vdi: await convert('disk', 'vdi', 'vdi'),
    iso: await iso('iso', '-J', '-R'),
    bootIso: await iso('bootIso', '-b', 'boot', '-c', 'catalog', '-no-emul-boot', '-boot-load-size', '4'),
    raw: await readFile(at('raw')),
  }
}
