import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, inject } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { DownloadRequest } from '../../../src/core/model.ts'
import { cephRbdPools } from '../../../src/storage/backends/ceph-rbd.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import { until } from '../../support/until.ts'
import { startCeph, type CephCluster } from '../ceph.ts'
import { rbdFixture, type RbdFixture } from '../storage/rbd-fixture.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const MIB = 1024 * 1024
export const POOL = 'pool-1'
/** What the image of the requests is called in the pool. */
export const VOLUME = 'cloud-images+golden'
const signal = new AbortController().signal
const ctx = { signal, log: silentLogger }
/** The image that the origin serves. */
export const disk = madeContent(192 * MIB)

/** A host of the pool. */
export interface RbdHost extends AsyncDisposable {
  readonly pools: PoolManager
  readonly agent: TestAgent
  readonly dir: string
}

/** A real Ceph cluster with a pool, a server with an image, and hosts that have both; anew for each test of the `describe` it is called in. */
export function useRbdHosts() {
  let cluster: CephCluster
  let fixture: RbdFixture
  let origin: Origin
  let hosts: RbdHost[]

  beforeAll(async () => {
    cluster = await startCeph(inject('cephDir'))
  })
  beforeEach(async () => {
    hosts = []
    fixture = await rbdFixture(cluster)
    origin = await startOrigin(disk)
  })
  afterEach(async () => {
    for (const host of hosts) await host[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
    await fixture.close()
  })

  const startHost = async (nodeId: string): Promise<RbdHost> => {
    const dir = await mkdtemp(path.join(tmpdir(), 'lqx-rbd-images-'))
    const environment = { ...storageEnvironment(dir), nodeId }
    const factories = [cephRbdPools(environment)]
    const pools = new PoolManager({ factories, environment, store: memoryCollection<PoolRecord>() })
    await pools.init(fixture.config, ctx)
    const agent = await startTestAgent(dir, { pools })
    const host = {
      pools,
      agent,
      dir,
      async [Symbol.asyncDispose]() {
        await agent.operations.shutdown(0)
        pools.stop()
        environment.io.close()
        await rm(dir, { recursive: true, force: true })
      },
    }
    hosts.push(host)
    return host
  }
  const request = ({ dir }: RbdHost, change: Partial<DownloadRequest> = {}): DownloadRequest => ({
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
  const begin = async (host: RbdHost, change: Partial<DownloadRequest> = {}) =>
    (await host.agent.images.download(request(host, change), signal)).jobId
  const ended = async ({ agent }: RbdHost, jobId: string) => agent.operations.wait(jobId, signal)
  const staged = ({ dir }: RbdHost) => readdir(`${dir}/staging`).catch(() => [])
  /** Stops the qemu-img that writes for a host once it has written something: it is then in the middle for as long as a test wants. */
  const stopCopy = async (host: RbdHost, jobId: string): Promise<number> => {
    let pid: number | undefined
    await until(async () => {
      pid ??= (await copiesOf(host))[0]
      const { phase, bytesDone = 0 } = host.agent.operations.get(jobId)?.progress ?? {}
      return pid !== undefined && phase === 'converting' && bytesDone > 0
    }, 60_000)
    process.kill(pid ?? 0, 'SIGSTOP')
    return pid ?? 0
  }

  /** In the eyes of the cluster a killed client has its image open for half a minute. */
  const swept = async (host: RbdHost, left: readonly string[] = []) => {
    const { backend } = await host.pools.require(POOL, ctx)
    expect(await backend.listVolumes(ctx)).toEqual([])
    await until(async () => {
      await backend.activate({ mode: 'resume' }, ctx)
      return JSON.stringify(await fixture.contents()) === JSON.stringify(left)
    }, 90_000)
  }

  return {
    get cluster() {
      return cluster
    },
    get fixture() {
      return fixture
    },
    get origin() {
      return origin
    },
    startHost,
    begin,
    ended,
    staged,
    stopCopy,
    swept,
  }
}

/** Pids of the qemu-imgs that write for a host. */
export async function copiesOf({ dir }: RbdHost): Promise<number[]> {
  const found: number[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const cmdline = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (/^qemu-img\0convert\0/.test(cmdline) && cmdline.includes(dir)) found.push(Number(pid))
  }
  return found
}

/** Of the bytes of an image in the cluster. */
export async function sha256Of(cluster: CephCluster, image: string): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-exported-'))
  try {
    await cluster.admin('rbd', 'export', '--no-progress', image, `${directory}/image`)
    return await fileSha256(`${directory}/image`)
  } finally {
    await rm(directory, { recursive: true })
  }
}
