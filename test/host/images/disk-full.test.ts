import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, statfs, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../support/until.ts'
import { missingLoopDevices } from '../domains/loop-pool.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { madeContent, startOrigin, type Content, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const exec = promisify(execFile)
const missing =
  (await requirePrerequisite('root', missingRoot)) ??
  (await requirePrerequisite('qemu-img and gzip', missingCommand('qemu-img', 'gzip')))
const noLoop = await requirePrerequisite('loop devices', missingLoopDevices)
const MIB = 1024 * 1024
const JOURNAL_BYTES = 64 * 1024
const signal = new AbortController().signal
const disk = madeContent(24 * MIB)
/** The disk is full long before all of it is there, however long that takes. */
const SLOWLY = 2 * MIB
const textDisk = contentOf(textual(48 * MIB))

function contentOf(bytes: Buffer): Content {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { bytes: bytes.length, sha256, read: (from, to) => bytes.subarray(from, to) }
}
/** A raw disk that packs to nearly nothing, and has no holes. */
function textual(bytes: number): Buffer {
  const text = Buffer.alloc(bytes, 'the quick brown fox jumps over the lazy dog; ')
  text.fill(0, 0, 512).writeUInt16LE(0xaa55, 510)
  return text
}

describe.skipIf(missing !== undefined)('a full disk', () => {
  let directory: string
  let base: string
  let agent: TestAgent
  let origin: Origin

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-full-'))
    base = `${directory}/base`
    await mkdir(base)
    await exec('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0755', 'tmpfs', base])
    agent = await startTestAgent(directory)
    origin = await startOrigin(disk)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await origin[Symbol.asyncDispose]()
    await exec('umount', ['-l', base])
    await rm(directory, { recursive: true, force: true })
  })

  const free = async () => {
    const { bavail, bsize } = await statfs(base)
    return bavail * bsize
  }
  const leave = async (bytes: number) => writeFile(`${base}/other`, Buffer.alloc((await free()) - bytes))
  const start = async (name: string, content: Content, bytesPerSecond?: number) => {
    origin.answer({ content, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) })
    return (await agent.images.download(request(name), signal)).jobId
  }
  const request = (name: string) => ({
    imageId: 'image-1',
    catalogId: '',
    url: `${origin.origin}/${name}`,
    targetDir: base,
    filename: `${name}.img`,
    poolId: '',
    checksum: '',
    checksumType: '',
  })
  const ended = async (jobId: string) => {
    const { error } = await agent.operations.wait(jobId, signal)
    return { ...agent.images.job(jobId), reason: error?.reason }
  }
  const expectFull = async (jobId: string, message: RegExp) => {
    const job = await ended(jobId)
    expect(job).toMatchObject({ state: 'failed', reason: 'POOL_FULL' })
    expect(job.errorMessage).toMatch(message)
    expect((await readdir(base)).filter((name) => name !== 'other')).toEqual([])
    expect(agent.workers()).toEqual([])
    return job
  }
  /** The promise for the bytes, with the numbers. */
  const refused = /directory .*base has .* left, .* of them promised to running jobs; 24\.0 MiB are needed/

  it('is told before the first byte', async () => {
    await leave(20 * MIB)
    expect((await expectFull(await start('disk', disk), refused)).bytesDone).toBe(0)
  })

  it('is told before the first byte when what is inside cannot fit, by its name or its first bytes', async () => {
    const packed = contentOf(gzipSync(disk.read(0, disk.bytes), { level: 0 }))
    await leave(40 * MIB)
    expect((await expectFull(await start('disk.raw.gz', packed), /what is made of disk/)).bytesDone).toBe(0)
    const unnamed = await expectFull(await start('disk', packed, 8 * MIB), /what is made of disk/)
    expect(unnamed.bytesDone).toBeLessThan(8 * MIB)
  })

  it('is one that has promised its space to other jobs', async () => {
    await leave(40 * MIB)
    // It has its promise, and does not end before the other has asked.
    await agent.bandwidth.setLimits({ hostBytesPerSecond: MIB, pools: {} })
    const first = await start('first', disk)
    await until(async () => agent.images.job(first).bytesDone > 0)
    await expectFullOf(await start('second', disk), /24\.0 MiB of them promised/)
    await agent.bandwidth.setLimits({ hostBytesPerSecond: 0, pools: {} })
    expect(await ended(first)).toMatchObject({ state: 'completed' })
  })
  const expectFullOf = async (jobId: string, message: RegExp) => {
    const job = await ended(jobId)
    expect(job).toMatchObject({ state: 'failed', reason: 'POOL_FULL' })
    expect(job.errorMessage).toMatch(message)
  }

  it('that becomes full while the image arrives ends the job', async () => {
    const jobId = await start('disk', disk, SLOWLY)
    await until(async () => agent.images.job(jobId).bytesDone > 2 * MIB)
    // Both write to the last byte.
    await exec('sh', ['-c', 'head -c 100M /dev/zero > "$0" 2>/dev/null || :', `${base}/other`])
    await expectFull(
      jobId,
      /^directory .*base is full: it holds 6.* MiB of 64\.0 MiB, .* left, and image disk.img needs 24\.0 MiB; free space, or add space to it$/,
    )
  })

  it('that becomes full while it is unpacked ends the job', async () => {
    await leave(40 * MIB)
    await expectFull(
      await start('disk.gz', contentOf(gzipSync(textDisk.read(0, textDisk.bytes)))),
      /base is full: it holds .* are left( with the last 3\.2 MiB kept for guests)?, and image disk.gz.img needs /,
    )
  })

  it('is told before it is converted', async () => {
    await writeFile(`${directory}/disk.raw`, textDisk.read(0, textDisk.bytes))
    const convert = ['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized']
    await exec('qemu-img', [...convert, `${directory}/disk.raw`, `${directory}/disk.vmdk`])
    const packed = contentOf(await readFile(`${directory}/disk.vmdk`))
    await leave(40 * MIB)
    await expectFull(await start('disk.vmdk', packed), /are needed \(what is made of disk/)
  })

  it('that becomes full while it is converted ends the job and leaves nothing', async () => {
    await writeFile(`${directory}/disk.raw`, textDisk.read(0, textDisk.bytes))
    const convert = ['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized']
    await exec('qemu-img', [...convert, `${directory}/disk.raw`, `${directory}/disk.vmdk`])
    const packed = contentOf(await readFile(`${directory}/disk.vmdk`))
    // What takes the space comes after the promise, between two looks of the job: right before the program that writes.
    const tools = `${directory}/tools`
    await mkdir(tools)
    const fill = `case "$*" in *convert*) head -c 100M /dev/zero > '${base}/other' 2>/dev/null ;; esac`
    await writeFile(`${tools}/prlimit`, `#!/bin/sh\n${fill}\nexec /usr/bin/prlimit "$@"\n`, { mode: 0o755 })
    const { PATH } = process.env
    process.env['PATH'] = `${tools}:${PATH}`
    try {
      const full =
        /base is full: it holds 6.* MiB of 64\.0 MiB, .* are left, and image disk.vmdk.img needs 4\d\.\d MiB; free space/
      const job = await expectFull(await start('disk.vmdk', packed), full)
      expect(job.bytesDone).toBeLessThan(textDisk.bytes)
    } finally {
      process.env['PATH'] = PATH
    }
  })

  it('that has no room for the manifest publishes nothing', async () => {
    await leave(disk.bytes + JOURNAL_BYTES)
    await expectFull(await start('disk', disk), /base is full: .* are left, and image disk.img needs /)
  })

  it.skipIf(noLoop !== undefined)(
    'of a pool, written past the page cache, is told with the numbers of the pool',
    async () => {
      const pool = `${directory}/small`
      await mkdir(`${pool}/pool`, { recursive: true })
      await exec('truncate', ['-s', '64M', `${pool}/disk`])
      await exec('mkfs.ext4', ['-q', '-O', '^has_journal', '-m', '0', `${pool}/disk`])
      await exec('mount', ['-o', 'loop', `${pool}/disk`, `${pool}/pool`])
      const ofPool = await startTestAgent(pool)
      try {
        origin.answer({ content: disk, bytesPerSecond: SLOWLY })
        const { jobId } = await ofPool.images.download(
          { ...request('disk'), poolId: 'pool-1', targetDir: `${pool}/pool` },
          signal,
        )
        await until(async () => ofPool.images.job(jobId).bytesDone > 2 * MIB)
        await exec('sh', ['-c', 'head -c 100M /dev/zero > "$0" 2>/dev/null || :', `${pool}/pool/other`])
        const { error } = await ofPool.operations.wait(jobId, signal)
        expect(error).toMatchObject({ reason: 'POOL_FULL', details: { neededBytes: String(disk.bytes) } })
        expect(error?.message).toMatch(
          /^pool pool-1 is full: it holds .* of .* MiB, .* are left, and image disk.img needs 24\.0 MiB; free/,
        )
        expect((await readdir(`${pool}/pool`)).filter((name) => name.endsWith('.lqxtmp'))).toEqual([])
      } finally {
        await ofPool.operations.shutdown(0)
        await exec('umount', ['-l', `${pool}/pool`])
      }
    },
  )

  it('that has room again takes the same job', async () => {
    await leave(20 * MIB)
    const jobId = await start('disk', disk)
    await ended(jobId)
    await truncate(`${base}/other`, 0)
    const { id } = await agent.operations.retry(jobId)
    expect(await ended(id)).toMatchObject({ state: 'completed' })
  })
})
