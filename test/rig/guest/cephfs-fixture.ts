import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import type { PoolConfig } from '../../../src/core/model.ts'
import { cephFsPools } from '../../../src/storage/backends/ceph-fs.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { PoolFixture } from '../../conformance/pool-backend.ts'
import { poolContents, stalledQemuImg, tempBase, tool } from '../../host/storage/local-fixture.ts'
import { atEnd } from './at-end.ts'
import { mountingEnvironment, mountsBelow } from './nfs-fixture.ts'

/** How the cluster is reached, which the test outside started. */
export interface CephFsParameters {
  readonly monitors: readonly string[]
  readonly user: string
  readonly key: string
}

/** What the tests of a file share, as they would share a host. */
interface Place {
  readonly environment: StorageEnvironment
  readonly keyringPath: string
  /** The directory of the pools, seen through a mount that no pool knows. */
  readonly path: string
}

const DIRECTORY = 'conformance'

/** Made once: mounts and helpers take seconds to start under emulation. What a test leaves mounted, the next one finds, as an agent does that starts again. */
let prepared: Promise<Place> | undefined

async function prepare({ monitors, user, key }: CephFsParameters): Promise<Place> {
  const base = await tempBase()
  const environment = mountingEnvironment(base)
  const [view, secret, keyringPath] = [`${base}/server`, `${base}/secret`, `${base}/keyring`]
  await writeFile(secret, key, { mode: 0o600 })
  await writeFile(keyringPath, `[client.${user}]\n\tkey = ${key}\n`, { mode: 0o600 })
  await mkdir(view)
  await tool('mount', '-t', 'ceph', '-o', `name=${user},secretfile=${secret}`, `${monitors.join(',')}:/`, view)
  const path = `${view}/${DIRECTORY}`
  await mkdir(path, { mode: 0o711 })
  atEnd(async () => {
    environment.io.close()
    for (const place of (await mountsBelow(environment, base)).reverse()) await tool('umount', '-l', place)
    await rm(path, { recursive: true })
    await tool('umount', view)
    await rm(base, { recursive: true })
  })
  return { environment, keyringPath, path }
}

/** A CephFS pool on a real cluster: taking it away is a lazy unmount behind the agent's back while the file system loses the directory. */
export async function cephFsFixture(parameters: CephFsParameters): Promise<PoolFixture> {
  prepared ??= prepare(parameters)
  const { environment, keyringPath, path } = await prepared
  const { monitors, user, key } = parameters
  const base = await tempBase()
  const away = `${path}.away`
  const config = (poolId: string): PoolConfig => ({
    poolId,
    kind: 'CEPH_FS',
    options: { monitors, user, keyringPath, path: `/${DIRECTORY}` },
  })
  const target = cephFsPools(environment).create(config('pool-1')).mountPath
  const giveBack = async () => {
    const strayed = [...(await readdir(path)), ...(await readdir(target).catch(() => []))]
    if (strayed.length > 0) throw new Error(`written in the place of the lost pool: ${strayed.join(', ')}`)
    await rm(path, { recursive: true })
    await rename(away, path)
  }
  return {
    factory: cephFsPools(environment),
    environment,
    config: config('pool-1'),
    rival: config('pool-2'),
    secrets: [key],
    contents: () => poolContents(path),
    plantForeign: (volume) => writeFile(`${path}/${volume}.qcow2`, 'not ours'),
    async takeAway() {
      if ((await environment.mounter.entryAt(target)) !== undefined) await tool('umount', '-l', target)
      await rename(path, away)
      await mkdir(path, { mode: 0o711 })
    },
    giveBack,
    stall: () => stalledQemuImg(base),
    async close() {
      await rm(away, { recursive: true, force: true })
      for (const name of await readdir(path)) await rm(`${path}/${name}`, { recursive: true })
      await rm(base, { recursive: true })
    },
  }
}
