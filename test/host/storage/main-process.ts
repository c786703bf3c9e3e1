/** Run by main-process.test.ts below strace: the whole life of a local pool, from the agent's main process. Arguments: base directory, pool directory. */
import { readdirSync } from 'node:fs'
import { silentLogger } from '../../../src/core/context.ts'
import { createMounter } from '../../../src/platform/mounter.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import type { MountPointRecord } from '../../../src/storage/environment.ts'
import { PoolManager, type PoolRecord } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { StorageIo } from '../../../src/storage/storage-io.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'

const [base = '', root = ''] = process.argv.slice(2)
const log = silentLogger
const store = openStateStore(`${base}/state`, log)
const environment = {
  io: new StorageIo(log),
  mounter: createMounter(),
  mountPoints: store.collection<MountPointRecord>('mount-points'),
  paths: { localPools: `${base}/images`, formerLocalPools: [], mounts: `${base}/mnt`, reserved: [] },
  nodeId: 'traced',
  log,
}
const pools = new PoolManager({
  factories: poolBackends(environment),
  environment,
  store: store.collection<PoolRecord>('pools'),
})
const ctx = { signal: AbortSignal.timeout(100_000), log }
const volumes = createVolumeManager(pools)
await pools.start()
await pools.init({ poolId: 'p1', kind: 'LOCAL_DIR', options: { path: root } }, ctx)
const empty = { format: 'qcow2', sizeBytes: 2 ** 20, content: { type: 'empty' }, owner: 'vm:1' } as const
const { source } = await volumes.create('p1', { name: 'base', ...empty }, ctx)
if (source.type !== 'file') throw new Error('a local volume is a file')
const onBase = { ...empty, content: { type: 'overlay', path: source.path, format: 'qcow2' } } as const
await volumes.create('p1', { name: 'vms/a/disk', ...onBase }, ctx)
await volumes.create('p1', { name: 'copy', ...onBase, content: { ...onBase.content, type: 'copy' } }, ctx)
await volumes.resize('p1', 'vms/a/disk', 2 ** 21, ctx)
await pools.files('p1', 'vms/a', ctx)
await volumes.list('p1', ctx)
for (const name of ['vms/a/disk', 'copy', 'base']) await volumes.delete('p1', name, ctx)
await pools.destroy('p1', ctx)
pools.stop()
const helpers = environment.io.state().pids
environment.io.close()
// Every thread of this process has its own number and its own trace.
process.stdout.write(JSON.stringify({ threads: readdirSync('/proc/self/task').map(Number), helpers }))
