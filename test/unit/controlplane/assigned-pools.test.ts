import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AssignedPools } from '../../../src/controlplane/assigned-pools.ts'
import { offeredConfig, offeredPool } from '../../../src/controlplane/offered-pool.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import { createConnectClient, type ConnectClient } from '../../../src/platform/connect-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { FakePace } from './fake-pace.ts'

const SERVICE = '/limiquantix.storage.v1.StoragePoolService/'

let cp: StandInControlPlane
let client: ConnectClient
let assigned: AssignedPools
let pace: FakePace
/** Pools the host has, and those that a search would show. */
let known: Set<string>
let hidden: Set<string>
let made: PoolConfig[]
let searches: string[]

beforeEach(async () => {
  cp = await startStandInControlPlane()
  client = createConnectClient({ baseUrl: cp.url })
  pace = new FakePace()
  known = new Set()
  hidden = new Set()
  made = []
  searches = []
  assigned = new AssignedPools({
    client,
    pace,
    log: silentLogger,
    pools: {
      known: () => [...known],
      find: (poolId) => {
        searches.push(poolId)
        if (!hidden.has(poolId)) return Promise.reject(new AgentError('POOL_NOT_FOUND', `pool ${poolId} not found`))
        known.add(poolId)
        return Promise.resolve()
      },
      init: (config) => {
        made.push(config)
        known.add(config.poolId)
        return Promise.resolve()
      },
    },
  })
})
afterEach(async () => {
  await assigned.stop()
  await client.close()
  await cp.close()
})

const answer = (...assignedPoolIds: string[]) => ({
  nodeId: 'node-1',
  intervalSeconds: 30,
  assignedPoolIds,
  requestFullSync: false,
  serverTimeUnix: 0,
})
const asked = (method: string) => cp.requests.filter((request) => request.method === method).length

describe('assigned pools', () => {
  test('what is here is neither searched nor asked for', async () => {
    known.add('p1')
    assigned.update(answer('p1'))
    await assigned.stop()
    expect(searches).toEqual([])
    expect(cp.requests).toEqual([])
    expect(assigned.missing()).toEqual([])
  })

  test('one that shows on the host is taken up without asking anybody', async () => {
    hidden.add('p1')
    assigned.update(answer('p1'))
    await assigned.settled()
    expect([...known]).toEqual(['p1'])
    expect(cp.requests).toEqual([])
    expect(assigned.missing()).toEqual([])
  })

  test('one that nobody knows is reported with a text that no control plane takes for another one', async () => {
    assigned.update(answer('p1'))
    const [missing] = assigned.missing()
    expect(missing?.message).toContain('p1')
    expect(missing?.message).not.toMatch(/not found|already|exists/i)
    await assigned.settled()
    expect(asked('ListPoolFiles')).toBe(1)
    expect(assigned.missing()).toHaveLength(1)
  })

  test('one that is neither here nor in GetPool is asked for by ListPoolFiles, then by ReconnectPool', async () => {
    assigned.update(answer('p1'))
    await assigned.settled()
    expect(cp.requests.map(({ path, body }) => [path.replace(SERVICE, ''), body])).toEqual([
      ['GetPool', { id: 'p1' }],
      ['ListPoolFiles', { poolId: 'p1', path: '' }],
      ['ReconnectPool', { id: 'p1' }],
    ])
  })

  test.each(['ListPoolFiles', 'ReconnectPool'])(
    'one that comes with %s is here, and nothing more is asked',
    async (method) => {
      const push = cp.waitForRequest(method, AbortSignal.timeout(5_000)).then(() => known.add('p1'))
      assigned.update(answer('p1'))
      await assigned.settled()
      await push
      expect(cp.requests.at(-1)?.method).toBe(method)
      expect(assigned.missing()).toEqual([])
      const { length } = cp.requests
      pace.advance(20 * 60_000)
      assigned.update(answer('p1'))
      await assigned.settled()
      expect(cp.requests).toHaveLength(length)
    },
  )

  test('ReconnectPool keeps to the back-off of the search', async () => {
    for (let beat = 0; beat < 60; beat++) {
      assigned.update(answer('p1'))
      await assigned.settled()
      pace.advance(30_000)
    }
    expect(asked('ReconnectPool')).toBe(searches.length)
    expect(asked('ReconnectPool')).toBe(asked('ListPoolFiles'))
  })

  test('searches come further and further apart', async () => {
    for (let beat = 0; beat < 60; beat++) {
      assigned.update(answer('p1'))
      await assigned.settled()
      pace.advance(30_000)
    }
    expect(searches.length).toBeGreaterThan(3)
    expect(searches.length).toBeLessThan(12)
  })

  test('one that is no longer assigned is no longer reported', async () => {
    assigned.update(answer('p1'))
    await assigned.settled()
    expect(asked('ListPoolFiles')).toBe(1)
    assigned.update(answer())
    expect(assigned.missing()).toEqual([])
  })

  test('a configuration in GetPool is used, a type alone is not', async () => {
    const pool = (backend: object) => offeredPool.parse({ spec: { backend } })
    const nfs = { server: '10.0.0.5', exportPath: '/srv/vm', version: '', options: '' }
    expect(offeredConfig('p1', pool({ type: 4 }), 'node-1')).toBeUndefined()
    expect(offeredConfig('p1', pool({ type: 3 }), 'node-1')).toBeUndefined()
    expect(offeredConfig('p1', pool({}), 'node-1')).toBeUndefined()
    expect(offeredConfig('p1', pool({ type: 4, nfs }), 'node-1')).toEqual({
      poolId: 'p1',
      kind: 'NFS',
      options: { server: '10.0.0.5', exportPath: '/srv/vm' },
    })
    expect(offeredConfig('p1', pool({ type: 'BACKEND_TYPE_ISCSI', iscsi: { portal: '10.0.0.5' } }), 'n')?.kind).toBe(
      'ISCSI',
    )
    // Number 0 is left out on the wire.
    expect(offeredConfig('p1', pool({ ceph: { poolName: 'vms' } }), 'node-1')?.kind).toBe('CEPH_RBD')
    // The type of one kind with the data of another is no configuration.
    expect(offeredConfig('p1', pool({ type: 3, nfs }), 'node-1')).toBeUndefined()
  })

  test('a directory of another node is not made here', () => {
    const pool = offeredPool.parse({ spec: { backend: { type: 3, localDir: { path: '/srv/x', nodeId: 'node-2' } } } })
    expect(offeredConfig('p1', pool, 'node-1')).toBeUndefined()
    expect(offeredConfig('p1', pool, 'node-2')?.options).toEqual({ path: '/srv/x' })
  })

  test('an id that cannot be a pool id is left alone', async () => {
    assigned.update(answer('../../etc', ''))
    await assigned.stop()
    expect(assigned.missing()).toEqual([])
    expect(searches).toEqual([])
  })
})
