import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { DownloadJob, DownloadRequest } from '../../../src/core/model.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { memoryPools, memoryStorage, type MemoryStorage } from '../../conformance/memory-pool.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { IMAGE_BYTES } from '../../conformance/volume-bytes.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import { rawDisk, startImageServer, type ImageServer } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const signal = new AbortController().signal
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const VOLUME = 'cloud-images/debian-12'

/** Storage whose copies come from real files: of those only the presence counts. */
function storageOfFiles(): MemoryStorage {
  const images = new (class extends Map<string, Map<number, number>> {
    override get(file: string) {
      return existsSync(file) ? new Map([[0, 1]]) : undefined
    }
  })()
  return { ...memoryStorage(), images }
}

describe.skipIf(missing !== undefined)('download into a pool without files', () => {
  let image: Buffer
  let server: ImageServer
  let dir: string
  let storage: MemoryStorage
  let agent: TestAgent
  const pools: PoolManager[] = []

  beforeAll(async () => {
    const scratch = await mkdtemp(path.join(tmpdir(), 'lqx-image-'))
    await writeFile(`${scratch}/disk.raw`, rawDisk(IMAGE_BYTES))
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', `${scratch}/disk.raw`, `${scratch}/disk.qcow2`])
    image = await readFile(`${scratch}/disk.qcow2`)
    await rm(scratch, { recursive: true })
    server = await startImageServer(image)
  })
  afterAll(async () => server[Symbol.asyncDispose]())
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-download-'))
    server.requests.length = 0
    storage = storageOfFiles()
    await start()
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    for (const each of pools.splice(0)) each.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const start = async () => {
    const environment = storageEnvironment(dir)
    const factories = [memoryPools(new Map([['one', storage]]))]
    const manager = new PoolManager({ factories, environment, store: memoryCollection<PoolRecord>() })
    pools.push(manager)
    const ctx = { signal, log: silentLogger }
    await manager.init({ poolId: 'pool-1', kind: 'LOCAL_LVM', options: { storage: 'one' } }, ctx)
    agent = await startTestAgent(dir, { pools: manager })
  }
  const request = (change: Partial<DownloadRequest> = {}): DownloadRequest => ({
    imageId: 'image-1',
    catalogId: 'debian-12',
    url: `${server.origin}/ok`,
    targetDir: `${dir}/pools/pool-1/images/cloud-images`,
    filename: '',
    poolId: 'pool-1',
    checksum: '',
    checksumType: '',
    ...change,
  })
  const finish = async (job: DownloadJob): Promise<DownloadJob> => {
    await agent.operations.wait(job.jobId, signal)
    return agent.images.job(job.jobId)
  }
  const download = async (change: Partial<DownloadRequest> = {}) =>
    finish(await agent.images.download(request(change), signal))
  const reasonOf = (job: DownloadJob) => agent.operations.get(job.jobId)?.error?.reason
  const staged = async () => (existsSync(`${dir}/staging`) ? readdir(`${dir}/staging`) : [])
  const stall = () => {
    const reached = Promise.withResolvers<void>()
    storage.onCreate = () => {
      reached.resolve()
      return new Promise(() => undefined)
    }
    return reached.promise
  }
  const goOn = () => (storage.onCreate = () => Promise.resolve())

  it('tells of a full pool in the words of the pool, not with the numbers of the directory it was staged in', async () => {
    const message = 'volume group vg_one has too little space'
    storage.onCreate = () => Promise.reject(new AgentError('POOL_FULL', message))
    const job = await download()
    expect(job).toMatchObject({ state: 'failed', errorMessage: message })
    expect(reasonOf(job)).toBe('POOL_FULL')
    expect(await staged()).toEqual([])
  })

  it('makes a volume of a verified image and answers the path it was asked by', async () => {
    const job = await download({ checksum: `sha256:${sha256(image)}` })
    expect(job).toMatchObject({
      state: 'completed',
      percent: 100,
      bytesDone: image.length,
      targetPath: `${dir}/pools/pool-1/images/cloud-images/debian-12.qcow2`,
      errorMessage: '',
    })
    expect(storage.volumes.get(VOLUME)?.spec).toMatchObject({ owner: `image:${job.jobId}`, sizeBytes: IMAGE_BYTES })
    expect(await staged()).toEqual([])
    expect(existsSync(`${dir}/pools`)).toBe(false)
  })

  it('answers the same image again, by URL or checksum, after a restart too, without another download', async () => {
    await download()
    await start()
    const asked = server.requests.length
    for (const checksum of ['', `sha256:${sha256(image)}`]) {
      expect(await download({ checksum })).toMatchObject({ state: 'completed', bytesDone: image.length })
    }
    expect(server.requests.length).toBe(asked)
    expect(reasonOf(await download({ url: `${server.origin}/chunked` }))).toBe('IMAGE_CONFLICT')
    expect(reasonOf(await download({ checksum: `sha256:${'0'.repeat(64)}` }))).toBe('IMAGE_CONFLICT')
  })

  it('keeps nothing of what is no image or has another checksum', async () => {
    expect(reasonOf(await download({ checksum: `sha256:${'0'.repeat(64)}` }))).toBe('CHECKSUM_MISMATCH')
    expect([...storage.volumes.keys()]).toEqual([])
    expect(await staged()).toEqual([])
  })

  it('shows that it converts, and a cancellation in the middle leaves nothing', async () => {
    const reached = stall()
    const { jobId } = await agent.images.download(request(), signal)
    await reached
    expect(agent.images.job(jobId)).toMatchObject({ state: 'running', phase: 'converting' })
    await agent.images.cancel(jobId, signal)
    await agent.operations.wait(jobId, signal)
    expect(agent.images.job(jobId).state).toBe('cancelled')
    expect([[...storage.volumes.keys()], [...storage.unfinished], await staged()]).toEqual([[], [], []])
    goOn()
    expect((await download()).state).toBe('completed')
  })

  it('goes on after a restart in the middle, and finds what was complete', async () => {
    const reached = stall()
    const { jobId } = await agent.images.download(request(), signal)
    await reached
    await agent.operations.shutdown(0)
    goOn()
    // As a killed process leaves it.
    await writeFile(`${dir}/staging/.lqx-${jobId}-0123.lqxtmp`, 'rest')
    await start()
    await agent.operations.wait(jobId, signal)
    expect(agent.images.job(jobId)).toMatchObject({ state: 'completed', bytesDone: image.length })
    expect(storage.volumes.has(VOLUME)).toBe(true)
    expect(await staged()).toEqual([])
  })

  it('takes a volume that another host made for the image, unless a checksum is to be proven', async () => {
    await download()
    await rm(`${dir}/state`, { recursive: true })
    await start()
    expect((await download()).state).toBe('completed')
    expect(reasonOf(await download({ checksum: `sha256:${sha256(image)}` }))).toBe('IMAGE_CONFLICT')
  })

  it('refuses a directory of another pool', async () => {
    const refused = agent.images.download(request({ targetDir: `${dir}/elsewhere` }), signal)
    await expect(refused).rejects.toMatchObject({ reason: 'TARGET_REFUSED' })
  })
})
