import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { OpContext } from '../../src/core/context.ts'
import { MIB } from '../../src/core/bytes.ts'
import type { DiskFormat, DiskSource } from '../../src/core/model.ts'
import { run } from '../../src/platform/exec.ts'
import { imageFileName, imagePlace } from '../../src/storage/qemu-img.ts'

/** Bytes of volumes and images, in blocks of `BLOCK_BYTES` that hold one value each. What the suite needs to see that copies are copies. */
export interface VolumeBytes {
  /** Fills block `block` with `value`. */
  write(source: DiskSource, block: number, value: number, ctx: OpContext): Promise<void>
  /** The values of the first `count` blocks; -1 for one that holds different ones. */
  read(source: DiskSource, count: number, ctx: OpContext): Promise<number[]>
  /** An image outside every pool whose block 0 holds `value`. */
  image(format: DiskFormat, value: number, ctx: OpContext): Promise<DiskSource>
  /** Removes the images. */
  close(): Promise<void>
}

/** Virtual size of `VolumeBytes.image`. */
export const IMAGE_BYTES = 8 * MIB

const BLOCK_BYTES = 65_536
/** Read of each block; reading the rest of it would print a megabyte. */
const SAMPLE_BYTES = 512

/** Through qemu-io, for whatever QEMU opens: files, devices and Ceph images. Each call is one start of it, which takes seconds on emulated hosts. */
export function qemuVolumeBytes(): VolumeBytes {
  let directory: string | undefined
  const write: VolumeBytes['write'] = async (source, block, value, ctx) => {
    await qemuIo(source, [`write -P ${value} ${block * BLOCK_BYTES} ${BLOCK_BYTES}`], ctx)
  }
  return {
    write,
    async read(source, count, ctx) {
      const commands = Array.from({ length: count }, (_, block) => `read -v ${block * BLOCK_BYTES} ${SAMPLE_BYTES}`)
      const bytes = dumpedBytes(await qemuIo(source, commands, ctx))
      return Array.from({ length: count }, (_, block) => {
        const sample = new Set(bytes.slice(block * SAMPLE_BYTES, (block + 1) * SAMPLE_BYTES))
        return sample.size === 1 ? [...sample][0]! : -1
      })
    },
    async image(format, value, ctx) {
      directory ??= await mkdtemp(path.join(tmpdir(), 'lqx-images-'))
      const file = path.join(directory, `image-${value}.${format}`)
      const args = ['create', '-q', '-f', format, file, String(IMAGE_BYTES)]
      await run({ file: 'qemu-img', args, timeoutMs: 60_000 }, ctx.signal)
      const source = { type: 'file', path: file, format } as const
      await write(source, 0, value, ctx)
      return source
    },
    async close() {
      if (directory !== undefined) await rm(directory, { recursive: true })
    },
  }
}

async function qemuIo(source: DiskSource, commands: readonly string[], ctx: OpContext): Promise<string> {
  const args = ['-f', source.format, ...commands.flatMap((command) => ['-c', command])]
  const command = { file: 'qemu-io', args: [...args, imageFileName(imagePlace(source))], timeoutMs: 60_000 }
  const { stdout } = await run(command, ctx.signal)
  // It exits with 0 whatever becomes of a command.
  const failed = stdout.split('\n').find((line) => /failed|error/i.test(line))
  if (failed !== undefined) throw new Error(`qemu-io: ${failed}`)
  return stdout
}

// `00010000:  41 41 …  AAAA`: sixteen bytes a line.
function dumpedBytes(output: string): number[] {
  return output
    .split('\n')
    .map((line) => /^[0-9a-f]+: {2}((?:[0-9a-f]{2} ){16})/.exec(line)?.[1])
    .flatMap((line) => (line === undefined ? [] : line.trim().split(' ')))
    .map((byte) => Number.parseInt(byte, 16))
}
