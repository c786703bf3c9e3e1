import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { placeOf, type DownloadRequest } from '../../../src/core/model.ts'
import { imageDeleter } from '../../../src/images/library/image-deleter.ts'
import { ImageFolders } from '../../../src/images/library/image-folders.ts'
import { ImageLibrary } from '../../../src/images/library/image-library.ts'
import { imagePlaces } from '../../../src/images/library/image-places.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { createLibraryService } from '../../../src/services/library-service.ts'
import { FileBrowser } from '../../../src/storage/browser.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import { loopDevices, missingLoopDevices, type LoopDevices } from '../domains/loop-pool.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { madeContent, startOrigin, type Content, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const run = promisify(execFile)
const missing =
  (await requirePrerequisite('loop devices', missingLoopDevices)) ??
  (await requirePrerequisite('qemu-img and gzip', missingCommand('qemu-img', 'gzip')))
const MIB = 1024 * 1024
const POOL = 'block-pool'
const signal = new AbortController().signal
const ctx = { signal, log: silentLogger }
const disk = madeContent(8 * MIB)
const bytes = disk.read(0, disk.bytes)

describe.skipIf(missing !== undefined)('images in a pool of block devices', () => {
  let dir: string
  let loops: LoopDevices
  let pools: PoolManager
  let agent: TestAgent
  let origin: Origin

  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-block-'))
    await mkdir(`${dir}/loops`)
    await mkdir(`${dir}/base`)
    loops = loopDevices(`${dir}/loops`)
    const environment = storageEnvironment(dir)
    pools = new PoolManager({ factories: [loops.factory], environment, store: memoryCollection<PoolRecord>() })
    await pools.init({ poolId: POOL, kind: 'LOCAL_LVM', options: {} }, ctx)
    agent = await startTestAgent(dir, { pools })
    origin = await startOrigin(disk)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await origin[Symbol.asyncDispose]()
    pools.stop()
    await loops.close()
    await rm(dir, { recursive: true, force: true })
  })

  const request = (change: Partial<DownloadRequest>): DownloadRequest => ({
    imageId: 'image-1',
    catalogId: '',
    url: `${origin.origin}/disk.img`,
    targetDir: `${dir}/pools/${POOL}/images/cloud-images`,
    filename: 'golden.qcow2',
    poolId: POOL,
    checksum: '',
    checksumType: '',
    ...change,
  })
  const ended = async (jobId: string) => {
    const { state, error } = await agent.operations.wait(jobId, signal)
    return { state, reason: error?.reason }
  }
  const download = async (change: Partial<DownloadRequest>) =>
    ended((await agent.images.download(request(change), signal)).jobId)
  const upload = async (content: Buffer) => {
    const { uploadId } = await agent.intake.beginUpload({ ...request({ url: '' }), subdir: '' }, content.length, signal)
    const half = content.length / 2
    for (const [offset, piece] of [
      [0, content.subarray(0, half)],
      [half, content.subarray(half)],
    ] as const) {
      await agent.intake.writeUpload(uploadId, { offset }, pieces(piece), signal)
    }
    return ended((await agent.intake.finishUpload(uploadId, signal)).jobId)
  }
  /** What a VM would read. */
  const onDevice = async (name = 'cloud-images/golden') => {
    const { backend } = await pools.require(POOL, ctx)
    const volume = await backend.getVolume(name, ctx)
    if (volume === undefined) return undefined
    await using device = await open(placeOf(volume.source))
    const { buffer } = await device.read(Buffer.alloc(disk.bytes), 0, disk.bytes, 0)
    return createHash('sha256').update(buffer).digest('hex')
  }
  const nothingStaged = async () => expect(await readdir(`${dir}/staging`).catch(() => [])).toEqual([])
  const other = () => Buffer.from(madeContent(disk.bytes, 2).read(0, disk.bytes))

  it('come from an upload in pieces, and another one under the name is a conflict', async () => {
    expect(await upload(bytes)).toEqual({ state: 'completed', reason: undefined })
    expect(await onDevice()).toBe(disk.sha256)
    await nothingStaged()
    expect(await upload(other())).toEqual({ state: 'failed', reason: 'IMAGE_CONFLICT' })
    expect(await onDevice()).toBe(disk.sha256)
    await nothingStaged()
  })

  it('come from compressed downloads and from local files of other formats', async () => {
    const packed = gzipSync(bytes)
    const content: Content = { bytes: packed.length, sha256: '', read: (from, to) => packed.subarray(from, to) }
    origin.answer({ content, etag: '"packed"' })
    expect(await download({ filename: 'packed.qcow2' })).toMatchObject({ state: 'completed' })
    expect(await onDevice('cloud-images/packed')).toBe(disk.sha256)
    await writeFile(`${dir}/base/disk.raw`, bytes)
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', `${dir}/base/disk.raw`, `${dir}/base/disk.vmdk`])
    expect(await download({ url: `file://${dir}/base/disk.vmdk`, filename: 'local.qcow2' })).toMatchObject({
      state: 'completed',
    })
    expect(await onDevice('cloud-images/local')).toBe(disk.sha256)
    await nothingStaged()
  })

  it('are in the library, stay while somebody uses them, and go with their volume', async () => {
    expect(await download({ checksum: disk.sha256 })).toMatchObject({ state: 'completed' })
    const { backend } = await pools.require(POOL, ctx)
    const spec = { format: 'raw', sizeBytes: MIB, content: { type: 'empty' }, owner: 'vm-1' } as const
    await backend.createVolume({ ...spec, name: 'vm-1-disk' }, ctx)
    const worker = new WorkerProcess('storage', 'library', silentLogger)
    const environment = storageEnvironment(dir)
    const folders = new ImageFolders(memoryCollection())
    const { volumes } = agent
    const library = new ImageLibrary({
      places: () =>
        imagePlaces({
          pools,
          io: environment.io,
          volumes,
          aliases: `${dir}/pools`,
          directories: [],
          worker,
          log: silentLogger,
        }),
      folders,
      nodeId: 'node',
      busyPaths: () => new Set(),
      diskPaths: () => new Set(),
      log: silentLogger,
    })
    const users = new Map<string, string[]>()
    pools.addUserSource(() => Promise.resolve([...users].map(([place, [name = '']]) => ({ name, path: place }))))
    const files = new FileBrowser({ pools, io: environment.io, nodeId: 'node' })
    const service = createLibraryService({
      library,
      folders,
      users: () => users,
      deleteImage: imageDeleter({ files, volumes, worker }),
      sync: () => 0,
      log: silentLogger,
    })
    try {
      const { images, unseen } = await service.list({}, signal)
      expect(unseen).toEqual([])
      // The disk of a VM is no image.
      expect(images).toMatchObject([
        {
          path: `${dir}/pools/${POOL}/images/cloud-images/golden.qcow2`,
          poolId: POOL,
          format: 'raw',
          virtualSizeBytes: disk.bytes,
          checksum: `sha256:${disk.sha256}`,
          url: `${origin.origin}/disk.img`,
          users: [],
        },
      ])
      const id = images[0]?.id ?? ''
      const place = images[0]?.volume?.place ?? ''
      users.set(place, ['VM one'])
      await expect(service.get(id, signal)).resolves.toMatchObject({ users: ['VM one'] })
      await expect(service.delete(id, signal)).rejects.toMatchObject({ reason: 'IMAGE_IN_USE' })
      expect(await onDevice()).toBe(disk.sha256)
      users.clear()
      await service.delete(id, signal)
      expect(await onDevice()).toBeUndefined()
      expect((await service.list({}, signal)).images).toEqual([])
      expect((await volumes.of(POOL)).size).toBe(0)
    } finally {
      library.stop()
      worker.close()
    }
  })
})

async function* pieces(content: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += 256 * 1024) yield content.subarray(at, at + 256 * 1024)
}
