import { describe, expect, onTestFinished, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { isUuid } from '../../../src/core/ids.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import { cephRbdPools } from '../../../src/storage/backends/ceph-rbd.ts'
import { CephGuestSecret, poolSecretUuid } from '../../../src/storage/ceph-guest-secret.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { isWorkImage, volumeImage, workPrefix } from '../../../src/storage/rbd-name.ts'
import { spaceOf } from '../../../src/storage/rbd-space.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { memorySecrets, storageEnvironment } from '../../support/storage-environment.ts'

describe('names of RBD images', () => {
  test('are those of plain volumes, and unlike for unlike volumes', () => {
    expect(volumeImage('disk-0')).toBe('disk-0')
    expect(volumeImage('vms/web_1/disk.0')).toBe('vms+web_1+disk.0')
    const long = 'a'.repeat(96)
    expect(volumeImage(long)).toMatch(/^\+[0-9a-f]{64}$/)
    expect(volumeImage(long)).not.toBe(volumeImage(`b${long.slice(1)}`))
    expect(() => volumeImage('a+b')).toThrow(AgentError)
  })

  test('tell unfinished work from volumes, and whose it is', () => {
    expect(isWorkImage(`${workPrefix('tmp', 'node-1')}0a`)).toBe(true)
    expect(isWorkImage(volumeImage('a'.repeat(120)))).toBe(false)
    expect(workPrefix('gone', 'node-1')).not.toBe(workPrefix('gone', 'node-2'))
  })
})

describe('space of a Ceph pool', () => {
  const answer = (quota: number) =>
    JSON.stringify({ pools: [{ name: 'rbd', stats: { stored: 100, max_avail: 900, quota_bytes: quota } }] })
  test('is what is stored and what can be', () => {
    expect(spaceOf(answer(0), 'rbd')).toEqual({ totalBytes: 1000, usedBytes: 100, availableBytes: 900 })
  })
  test('is bounded by a quota, also by one that was exceeded', () => {
    expect(spaceOf(answer(300), 'rbd')).toEqual({ totalBytes: 300, usedBytes: 100, availableBytes: 200 })
    expect(spaceOf(answer(50), 'rbd')).toEqual({ totalBytes: 100, usedBytes: 100, availableBytes: 0 })
  })
})

describe('options of RBD pools', () => {
  const create = (options: Record<string, unknown>) =>
    cephRbdPools(storageEnvironment('/nonexistent')).create({ poolId: 'pool-1', kind: 'CEPH_RBD', options })
  const good = { monitors: ['10.0.0.2:6789', '[fd00::1]:3300', 'mon-a'], poolName: 'vms' }

  test('have defaults, in a form that compares', () => {
    const backend = create(good)
    expect(backend.config.options).toEqual({
      clusterId: '',
      monitors: ['10.0.0.2:6789', '[fd00::1]:3300', 'mon-a:6789'],
      poolName: 'vms',
      namespace: '',
      user: 'admin',
      keyringPath: '/etc/ceph/ceph.client.admin.keyring',
      secretUuid: '',
    })
    expect(create(backend.config.options).config).toEqual(backend.config)
    expect([backend.mountPath, backend.rbdPool]).toEqual(['', 'vms'])
    expect(create({ ...good, namespace: 'a' }).rbdPool).toBe('vms/a')
  })

  test.each([
    ['monitors', { monitors: [] }],
    ['monitors', { monitors: ['10.0.0.2:x'] }],
    ['pool_name', { poolName: '' }],
    ['pool_name', { poolName: 'a/b' }],
    ['pool_name', { poolName: '-x' }],
    ['namespace', { namespace: 'a@b' }],
    ['user', { user: 'a b' }],
    ['keyring_path', { keyringPath: 'relative' }],
    ['secret_uuid', { secretUuid: 'x' }],
  ])('%s is checked: %j', (field, change) => {
    expect(() => create({ ...good, ...change })).toThrow(
      expect.objectContaining({
        reason: 'POOL_CONFIG_INVALID',
        message: expect.stringContaining(`ceph.${field}`) as string,
      }),
    )
  })

  test('a pool holds the images of its namespace only', () => {
    expect(create(good).holds('rbd:vms/a')).toBe(true)
    expect(create(good).holds('rbd:vms/a/b')).toBe(false)
    expect(create({ ...good, namespace: 'a' }).holds('rbd:vms/a/b')).toBe(true)
    expect(create(good).holds('/vms/a')).toBe(false)
  })

  test('where monitors are told, an image of another cluster is not held for its name', () => {
    const pool = create({ ...good, monitors: ['Mon-1', '10.0.0.2:3300', '[fd00::3]:7000'] })
    for (const own of ['mon-1:6789', 'mon-1:3300', '10.0.0.2:6789', '[fd00::3]:7000'])
      expect(pool.holds('rbd:vms/a', ['10.9.9.9:6789', own]), own).toBe(true)
    for (const other of ['mon-2:6789', 'mon-1:7000', '[fd00::3]:6789'])
      expect(pool.holds('rbd:vms/a', [other]), other).toBe(false)
    expect(pool.holds('rbd:vms/a', [])).toBe(true)
  })
})

describe('the pool of an image', () => {
  const place = 'rbd:vms/a'
  const configOf = (poolId: string, monitor: string): PoolConfig => {
    return { poolId, kind: 'CEPH_RBD', options: { monitors: [monitor], poolName: 'vms' } }
  }
  /** Pools of Ceph that need no cluster, by id and monitor; those that are `lost` are not in use. */
  async function managerOf(monitors: Readonly<Record<string, string>>, lost: Readonly<Record<string, string>> = {}) {
    const environment = storageEnvironment('/nonexistent')
    const real = cephRbdPools(environment)
    const create: typeof real.create = (config) => ({
      ...real.create(config),
      activate: () =>
        config.poolId in lost
          ? Promise.reject(new AgentError('SERVER_NOT_ANSWERING', 'silent'))
          : Promise.resolve({ outcome: 'activated', generation: '1' }),
      probe: () => Promise.resolve({ health: 'UNREACHABLE', reason: 'SERVER_NOT_ANSWERING', message: '' } as never),
    })
    const store = memoryCollection<PoolRecord>()
    for (const [poolId, monitor] of Object.entries(lost)) await store.put(poolId, { config: configOf(poolId, monitor) })
    const pools = new PoolManager({ factories: [{ ...real, create }], environment, store })
    onTestFinished(() => pools.stop())
    await pools.start()
    for (const [poolId, monitor] of Object.entries(monitors))
      await pools.init(configOf(poolId, monitor), { signal: AbortSignal.timeout(15_000), log: silentLogger })
    return pools
  }
  const found = (pools: PoolManager, ...monitors: string[]) => [
    pools.findByPlace(place, monitors)?.config.poolId,
    pools.holderOf(place, monitors)?.config.poolId,
  ]

  test('is the one that its monitors tell', async () => {
    const pools = await managerOf({ a: '10.0.0.1', b: '10.0.0.2' })
    expect(found(pools, '10.0.0.1:6789')).toEqual(['a', 'a'])
    expect(found(pools, '10.0.0.2:6789')).toEqual(['b', 'b'])
  })

  test('is not another one while the one that its monitors tell is not in use', async () => {
    const pools = await managerOf({ a: '10.0.0.1' }, { b: '10.0.0.2' })
    expect(found(pools, '10.0.0.2:6789')).toEqual([undefined, 'b'])
  })

  test('is the only one of its name where no monitor tells: it was set up anew with other names', async () => {
    const pools = await managerOf({ a: 'mon-a' })
    expect(found(pools, '10.0.0.1:6789')).toEqual(['a', 'a'])
    expect(pools.findByPlace('rbd:other/a', ['10.0.0.1:6789'])).toBeUndefined()
    expect(pools.holderOf('rbd:other/a', ['10.0.0.1:6789'])).toBeUndefined()
  })

  test('cannot be told of several: none is in use for it, and it is known all the same', async () => {
    const pools = await managerOf({ a: 'mon-a', b: 'mon-b' })
    expect(found(pools, '10.0.0.1:6789')).toEqual([undefined, 'a'])
  })
})

describe('the key for guests', () => {
  const ctx = { signal: new AbortController().signal, log: silentLogger }
  test('has a UUID of its pool: the same everywhere, another for another pool', () => {
    expect(isUuid(poolSecretUuid('pool-1'))).toBe(true)
    expect(poolSecretUuid('pool-1')[14]).toBe('5')
    expect(poolSecretUuid('pool-1')).not.toBe(poolSecretUuid('pool-2'))
  })

  test('is handed over as soon as libvirt answers, and taken back', async () => {
    const secrets = memorySecrets()
    let up = false
    const flaky: typeof secrets = {
      ...secrets,
      put: (secret, context) =>
        up ? secrets.put(secret, context) : Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'down')),
    }
    const secret = new CephGuestSecret(flaky, 'pool-1', 'vms', '')
    await secret.set('AAEC', ctx)
    expect(secrets.values.size).toBe(0)
    up = true
    await secret.handOver(ctx)
    expect([...secrets.values.values()]).toEqual([
      { uuid: secret.uuid, usage: 'ceph', name: 'client.vms secret for pool-1', value: Buffer.from([0, 1, 2]) },
    ])
    await secret.remove(ctx)
    expect(secrets.values.size).toBe(0)
  })

  test('leaves a secret alone that libvirt has for something else', async () => {
    let removed = 0
    const secrets = {
      put: () => Promise.reject(new AgentError('LIBVIRT_REFUSED', 'a secret is defined for use with other')),
      remove: () => Promise.resolve(void removed++),
    }
    const secret = new CephGuestSecret(secrets, 'pool-1', 'vms', 'cf24ffde-0000-4000-8000-000000000001')
    await secret.set('AAEC', ctx)
    await secret.remove(ctx)
    expect(removed).toBe(0)
  })
})
