import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { silentLogger, type Logger } from '../../../src/core/context.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { nfsPools } from '../../../src/storage/backends/nfs.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { MountPointRecord } from '../../../src/storage/environment.ts'
import type { PoolFixture } from '../../conformance/pool-backend.ts'
import { poolContents, stalledQemuImg, tempBase, tool } from '../../host/storage/local-fixture.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

/** Address of the rig's NFS server, as seen from the guest. */
export const NFS_SERVER = '10.99.0.1'
/** An export that the conformance suite has for itself. */
const NFS_EXPORT = '/pool6'

/** An environment below `base` that mounts as the agent does; state files outlive it as they outlive an agent. */
export function mountingEnvironment(base: string, log: Logger = silentLogger): StorageEnvironment {
  const store = openStateStore(`${base}/state`, log)
  const mountPoints = store.collection<MountPointRecord>('mount-points')
  return storageEnvironment(base, { mountPoints, nodeId: 'rig-node', log })
}

/** A directory of its own on the server below `export`, seen through a second mount that no pool knows. */
export interface ServerDirectory {
  /** Path on the server, to be used as `exportPath`. */
  readonly exportPath: string
  /** The same directory in the guest, without any caching. */
  readonly path: string
  close(): Promise<void>
}

/** Makes a directory on the server. */
export async function serverDirectory(base: string, exportName = NFS_EXPORT): Promise<ServerDirectory> {
  const view = `${base}/server${exportName}`
  const name = randomUUID()
  await mkdir(view, { recursive: true })
  await tool(
    'mount',
    '-t',
    'nfs',
    '-o',
    'vers=4.2,noac,lookupcache=none,nosharecache',
    `${NFS_SERVER}:${exportName}`,
    view,
  )
  await mkdir(`${view}/${name}`, { mode: 0o711 })
  return {
    exportPath: `${exportName}/${name}`,
    path: `${view}/${name}`,
    async close() {
      await rm(`${view}/${name}`, { recursive: true, force: true })
      await rm(`${view}/${name}.away`, { recursive: true, force: true })
      await tool('umount', view)
    },
  }
}

/** Mount points below `base`, in mount order. */
export async function mountsBelow(environment: StorageEnvironment, base: string): Promise<string[]> {
  return (await environment.mounter.list())
    .map(({ mountPoint }) => mountPoint)
    .filter((at) => at.startsWith(`${base}/mnt`))
}

/** An NFS pool on a real server: taking it away is a lazy unmount behind the agent's back while the export loses the directory. */
export async function nfsFixture({
  custom = false,
  ...options
}: {
  readonly version?: string
  readonly options?: string
  readonly custom?: boolean
}): Promise<PoolFixture> {
  const base = await tempBase()
  const server = await serverDirectory(base)
  const environment = mountingEnvironment(base)
  const config = (poolId: string): PoolConfig => ({
    poolId,
    kind: 'NFS',
    options: {
      server: NFS_SERVER,
      exportPath: server.exportPath,
      ...options,
      ...(custom ? { mountPoint: `${base}/mnt/custom/place-${poolId}` } : {}),
    },
  })
  const target = nfsPools(environment).create(config('pool-1')).mountPath
  const away = `${server.path}.away`
  return {
    factory: nfsPools(environment),
    environment,
    config: config('pool-1'),
    rival: config('pool-2'),
    secrets: [],
    contents: () => poolContents(server.path),
    plantForeign: (name) => writeFile(`${server.path}/${name}.qcow2`, 'not ours'),
    async takeAway() {
      if ((await mountsBelow(environment, base)).includes(target)) await tool('umount', '-l', target)
      await rename(server.path, away)
      await mkdir(server.path, { mode: 0o711 })
    },
    async giveBack() {
      const strayed = [...(await readdir(server.path)), ...(await readdir(target).catch(() => []))]
      if (strayed.length > 0) throw new Error(`written in the place of the lost pool: ${strayed.join(', ')}`)
      await rm(server.path, { recursive: true })
      await rename(away, server.path)
    },
    stall: () => stalledQemuImg(base),
    async close() {
      environment.io.close()
      for (const place of (await mountsBelow(environment, base)).reverse()) await tool('umount', '-l', place)
      await server.close()
      await rm(base, { recursive: true })
    },
  }
}
