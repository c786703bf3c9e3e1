import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { DownloadRequest } from '../../../src/core/model.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { readManifest } from '../../../src/images/manifest.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const exec = promisify(execFile)
const missing = await requirePrerequisite('image tools', missingCommand('qemu-img', 'xz'))
const signal = new AbortController().signal
const MIB = 1024 * 1024
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

describe.skipIf(missing !== undefined)('import of local files', () => {
  const disk = rawDisk(2 * MIB)
  let dir: string
  let agent: TestAgent

  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-import-'))
    await mkdir(`${dir}/base/incoming`, { recursive: true })
    await writeFile(`${dir}/base/incoming/disk.raw`, disk)
    await exec('xz', ['-0k', `${dir}/base/incoming/disk.raw`])
    await exec('qemu-img', [
      ...['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized'],
      ...[`${dir}/base/incoming/disk.raw`, `${dir}/base/incoming/disk.vmdk`],
    ])
    agent = await startTestAgent(dir)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await rm(dir, { recursive: true, force: true })
  })

  const incoming = (name: string) => `${dir}/base/incoming/${name}`
  const request = (url: string, change: Partial<DownloadRequest> = {}): DownloadRequest => ({
    imageId: 'i',
    catalogId: '',
    url,
    targetDir: `${dir}/pool/cloud-images`,
    filename: '',
    poolId: 'pool-1',
    checksum: '',
    checksumType: '',
    ...change,
  })
  const bring = async (url: string, change: Partial<DownloadRequest> = {}) => {
    const { jobId, targetPath } = await agent.images.download(request(url, change), signal)
    const { state, error } = await agent.operations.wait(jobId, signal)
    return { state, reason: error?.reason, targetPath }
  }
  const kept = async () => (await readdir(`${dir}/pool/cloud-images`).catch(() => [])).sort()

  it.each([
    ['disk.raw', 'disk.raw', 'raw'],
    ['disk.raw.xz', 'disk.raw', 'raw'],
    ['disk.vmdk', 'disk.qcow2', 'qcow2'],
  ])('%s becomes %s, and the source stays', async (name, stored, format) => {
    const source = await readFile(incoming(name))
    const { state, targetPath } = await bring(`file://${incoming(name)}`, { checksum: sha256(source) })
    expect([state, path.basename(targetPath)]).toEqual(['completed', stored])
    expect(await kept()).toEqual([`.${stored}.lqx.json`, stored])
    expect(await readManifest(targetPath)).toMatchObject({
      format,
      origin: { confinement: expect.any(String) as string },
    })
    expect(sha256(await readFile(incoming(name)))).toBe(sha256(source))
  })

  it('takes a plain path too, and holds its checksum', async () => {
    expect(await bring(incoming('disk.raw'), { checksum: 'a'.repeat(64) })).toMatchObject({
      state: 'failed',
      reason: 'CHECKSUM_MISMATCH',
    })
    expect(await kept()).toEqual([])
    expect(await bring(incoming('disk.raw'))).toMatchObject({ state: 'completed' })
  })

  it('never takes what was there before for the same, unless a checksum proves it', async () => {
    expect(await bring(incoming('disk.raw'))).toMatchObject({ state: 'completed' })
    expect(await bring(incoming('disk.raw'))).toMatchObject({ reason: 'IMAGE_CONFLICT' })
    expect(await bring(incoming('disk.raw'), { checksum: sha256(disk) })).toMatchObject({ state: 'completed' })
  })

  it.each([
    ['a file outside of all pools', () => 'file:///etc/passwd', 'SOURCE_REFUSED'],
    ['a path with ..', () => `${dir}/base/../../etc/passwd`, 'INVALID_PATH'],
    ['a file of another host', () => 'file://server/share/disk.raw', 'INVALID_PATH'],
    ["the agent's own records", () => `${dir}/pool/.limiquantix/marker`, 'SOURCE_REFUSED'],
  ])('refuses %s at once', async (_name, url, reason) => {
    await expect(agent.images.download(request(url(), { filename: 'x.raw' }), signal)).rejects.toMatchObject({ reason })
  })

  it.each([
    ['a file that is missing', 'none.raw', 'SOURCE_NOT_FOUND'],
    ['a directory that is missing', 'none/none.raw', 'SOURCE_NOT_FOUND'],
    ['a link out of the pool', 'link.raw', 'SOURCE_REFUSED'],
    ['a directory that is a link', 'dirlink/passwd', 'TARGET_REFUSED'],
    ['what is no image', 'text.raw', 'IMAGE_NOT_AN_IMAGE'],
  ])('refuses %s and leaves nothing', async (_name, file, reason) => {
    await symlink('/etc/passwd', incoming('link.raw'))
    await symlink('/etc', incoming('dirlink'))
    await writeFile(incoming('text.raw'), 'hello\n'.repeat(1000))
    expect(await bring(incoming(file), { filename: 'x.raw' })).toMatchObject({ state: 'failed', reason })
    expect(await kept()).toEqual([])
  })

  it('is rechecked by size and time when it is used', async () => {
    const { targetPath } = await bring(incoming('disk.raw'))
    const worker = new WorkerProcess('storage', 'recheck-test', silentLogger)
    const inspector = new ImageInspector(worker)
    const ctx = { signal, log: silentLogger }
    try {
      await inspector.recheck(targetPath, ctx)
      await inspector.recheck(incoming('disk.raw'), ctx)
      const { atime, mtime } = await stat(targetPath)
      await utimes(targetPath, atime, new Date(mtime.getTime() + 1000))
      await expect(inspector.recheck(targetPath, ctx)).rejects.toMatchObject({ reason: 'IMAGE_CHANGED' })
    } finally {
      worker.close()
    }
  })
})
