import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { until } from '../support/until.ts'
import type { Rig } from './rig.ts'

/** A pool as the agent's HTTP API shows it. */
export interface PoolBody {
  readonly poolId: string
  readonly type: string
  readonly mountPath: string
  readonly health: string
  readonly healthReason: string
  readonly message: string
  readonly observedAt: string
}

/** An NFS pool and its directory on the server's side. */
export interface NfsPoolBody extends PoolBody {
  readonly exportPath: string
  /** On this machine. */
  readonly serverPath: string
}

/** Pools for the tests of one file or a bench, over HTTP. */
export interface RigPools {
  /** A pool on a new directory of an export, so that tests do not meet each other's markers; healthy when it resolves. */
  nfs(exportName: string, options?: Readonly<Record<string, unknown>>): Promise<NfsPoolBody>
  /** A pool in a directory of the host's own disk. */
  local(): Promise<PoolBody>
  look(poolId: string): Promise<PoolBody>
  /** All pools of the agent at once. */
  lookAtAll(): Promise<readonly PoolBody[]>
  /** Waits for a state. */
  becomes(poolId: string, wanted: RegExp, timeoutMs: number): Promise<PoolBody>
  /** HTTP status of the list of its files. */
  filesStatus(poolId: string): Promise<number>
  /** Destroys one pool, as soon as the agent lets it go. */
  destroy(poolId: string): Promise<void>
  /** Destroys what this made; every pool must go. */
  destroyAll(): Promise<void>
}

/** Makes pools on `rig`; call `destroyAll` at the end. */
export function rigPools(rig: Rig): RigPools {
  const made: PoolBody[] = []
  const init = async (body: object) => {
    const answer = await rig.http<PoolBody>('POST', '/api/v1/storage/pools', { poolId: randomUUID(), ...body })
    if (answer.status !== 200 || answer.body.health !== 'HEALTHY') throw new Error(JSON.stringify(answer))
    made.push(answer.body)
    return answer.body
  }
  const look = async (poolId: string) => (await rig.http<PoolBody>('GET', `/api/v1/storage/pools/${poolId}`)).body
  const destroy = async (poolId: string) =>
    void (await until(async () =>
      [204, 404].includes((await rig.http('DELETE', `/api/v1/storage/pools/${poolId}`)).status),
    ))
  return {
    async nfs(exportName, { server = rig.serverAddress, ...options } = {}) {
      const name = `${exportName}/${randomUUID()}`
      const serverPath = `${rig.nfsExports}/${name}`
      await mkdir(serverPath, { mode: 0o711 })
      const body = await init({ type: 'NFS', nfsServer: server, nfsExport: `/${name}`, options })
      return { ...body, exportPath: `/${name}`, serverPath }
    },
    local: () => init({ type: 'LOCAL_DIR', path: `/srv/rig-pools/${randomUUID()}` }),
    look,
    lookAtAll: async () => (await rig.http<{ pools: readonly PoolBody[] }>('GET', '/api/v1/storage/pools')).body.pools,
    becomes: (poolId, wanted, timeoutMs) =>
      until(async () => {
        const body = await look(poolId)
        return wanted.test(body.health) && body
      }, timeoutMs),
    filesStatus: async (poolId) => (await rig.http('GET', `/api/v1/storage/pools/${poolId}/files`)).status,
    destroy,
    async destroyAll() {
      for (const { poolId } of made.splice(0)) await destroy(poolId)
      await rig.exec('rm -rf /srv/rig-pools')
    },
  }
}
