/** Run by main-process.test.ts below strace: the whole life of a local pool, from the agent's main process. Arguments: base directory, pool directory. */
import { readdirSync } from 'node:fs'
import { silentLogger } from '../../../src/core/context.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import type { MountPointRecord } from '../../../src/storage/environment.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { browserOf, collect, wholeDirectory } from '../../support/browse.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

const [base = '', root = ''] = process.argv.slice(2)
const log = silentLogger
const store = openStateStore(`${base}/state`, log)
const environment = storageEnvironment(base, {
  mountPoints: store.collection<MountPointRecord>('mount-points'),
  nodeId: 'traced',
  log,
})
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
await volumes.create('p1', { name: 'copy', ...onBase, content: { type: 'copy', source } }, ctx)
await volumes.resize('p1', 'vms/a/disk', 2 ** 21, ctx)
const browser = browserOf({ pools, environment })
await collect(browser.list('p1', wholeDirectory('vms/a', { limit: 10 }), ctx))
await browser.makeDirectory('p1', 'folder', ctx)
await browser.rename('p1', 'folder', 'renamed', ctx)
await volumes.create('p1', { name: 'read', ...empty }, ctx)
const { sizeBytes, read } = await browser.open('p1', 'read.qcow2', ctx)
for await (const bytes of read(0, sizeBytes)) if (bytes.length === 0) throw new Error('an empty piece')
await volumes.delete('p1', 'read', ctx)
await browser.delete('p1', 'renamed', ctx)
await volumes.list('p1', ctx)
for (const name of ['vms/a/disk', 'copy', 'base']) await volumes.delete('p1', name, ctx)
await pools.destroy('p1', ctx)
pools.stop()
const helpers = environment.io.state().pids
environment.io.close()
// Every thread of this process has its own number and its own trace.
process.stdout.write(JSON.stringify({ threads: readdirSync('/proc/self/task').map(Number), helpers }))
