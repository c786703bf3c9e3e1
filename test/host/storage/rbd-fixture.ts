import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { cephRbdPools } from '../../../src/storage/backends/ceph-rbd.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import type { Logger } from '../../../src/core/context.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { PoolFixture, Stall } from '../../conformance/pool-backend.ts'
import type { CephCluster } from '../ceph.ts'
import { tempBase, testEnvironment, tool } from './local-fixture.ts'

const POOL = 'rbd'
const AWAY = 'rbd-away'

/** A pool in an RBD namespace of its own. */
export interface RbdFixture extends PoolFixture {
  readonly namespace: string
  /** `rbd/<namespace>/<image>`. */
  image(name: string): string
  /** An agent of its own on the same storage. */
  environmentOf(nodeId: string, log?: Logger): StorageEnvironment
  configWith(options: Record<string, unknown>): PoolConfig
}

/** Taking the storage away is renaming the Ceph pool: another one could come in its place. */
export async function rbdFixture(cluster: CephCluster, log?: Logger): Promise<RbdFixture> {
  const namespace = `test-${randomUUID().slice(0, 8)}`
  await cluster.admin('rbd', 'namespace', 'create', `${POOL}/${namespace}`)
  const base = await tempBase()
  const environment = testEnvironment(base, log)
  const options = {
    monitors: [`${cluster.address}:6789`],
    poolName: POOL,
    namespace,
    user: 'vms',
    keyringPath: cluster.keyring('vms'),
  }
  const place = `${POOL}/${namespace}`
  const names = async (pool = POOL) => {
    const list = JSON.parse(await cluster.admin('rbd', 'ls', `${pool}/${namespace}`, '--format', 'json')) as string[]
    const trash = JSON.parse(await cluster.admin('rbd', 'trash', 'ls', `${pool}/${namespace}`, '--format', 'json')) as {
      id: string
      name: string
    }[]
    return { list, trash }
  }
  let away = false
  const rename = async (from: string, to: string) => {
    await cluster.admin('ceph', 'osd', 'pool', 'rename', from, to)
    away = to === AWAY
  }
  return {
    namespace,
    image: (name) => `${place}/${name}`,
    environmentOf: (nodeId, other) => ({ ...testEnvironment(base, other), nodeId }),
    configWith: (change) => ({ poolId: 'pool-1', kind: 'CEPH_RBD', options: { ...options, ...change } }),
    factory: cephRbdPools(environment),
    environment,
    config: { poolId: 'pool-1', kind: 'CEPH_RBD', options },
    rival: { poolId: 'pool-2', kind: 'CEPH_RBD', options },
    secrets: [await cluster.key('vms')],
    async contents() {
      const { list, trash } = await names(away ? AWAY : POOL)
      return [...list, ...trash.map(({ name }) => `trash:${name}`)].sort()
    },
    plantForeign: async (name) => void (await cluster.admin('rbd', 'create', '--size', '8M', `${place}/${name}`)),
    takeAway: () => rename(POOL, AWAY),
    giveBack: () => rename(AWAY, POOL),
    stall: () => stalledRbd(base),
    async close() {
      if (away) await rename(AWAY, POOL)
      environment.io.close()
      // Clones before what they were made from: each round frees the next.
      for (let found = await names(); found.list.length + found.trash.length > 0; found = await names()) {
        for (const image of found.list) {
          await cluster.admin('rbd', 'snap', 'purge', '--no-progress', `${place}/${image}`).catch(() => '')
          await cluster.admin('rbd', 'rm', '--no-progress', `${place}/${image}`).catch(() => '')
        }
        for (const { id } of found.trash) {
          await cluster.admin('rbd', 'trash', 'rm', '--no-progress', `${place}/${id}`).catch(() => '')
        }
      }
      await cluster.admin('rbd', 'namespace', 'remove', place)
      await rm(base, { recursive: true })
    },
  }
}

/** An rbd whose `create` does its work, reports it, and then never ends. */
async function stalledRbd(base: string): Promise<Stall> {
  const bin = `${base}/bin`
  const fifo = `${base}/reached`
  const real = (await tool('sh', '-c', 'command -v rbd')).trim()
  await mkdir(bin, { recursive: true })
  await tool('mkfifo', fifo)
  const script = `#!/bin/sh\ncase " $* " in *" create "*) ${real} "$@" && echo > ${fifo} && exec sleep 600;; esac\nexec ${real} "$@"\n`
  await writeFile(`${bin}/rbd`, script, { mode: 0o755 })
  const before = process.env['PATH'] ?? ''
  process.env['PATH'] = `${bin}:${before}`
  return {
    reached: readFile(fifo).then(() => undefined),
    end: () => {
      process.env['PATH'] = before
      return Promise.resolve()
    },
  }
}
