import { randomUUID } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { useCeph } from './ceph.ts'
import { missingRig, useRig } from './use-rig.ts'

interface PoolBody {
  readonly poolId: string
  readonly mountPath: string
  readonly health: string
  readonly healthReason: string
  readonly message: string
  readonly totalBytes: string | number
}

interface Failure {
  readonly error: string
  readonly message: string
}

const MOUNTS = '/var/lib/limiquantix/mnt'
const SECRETS = '/var/lib/limiquantix/secrets'
/** The admin's own mount of the file system on the host. */
const VIEW = '/srv/cephfs-view'
const LEAVES_HEALTHY_MS = 25_000
/** From the moment the cluster serves again. */
const RECOVERS_MS = 30_000
/** A mount anew, and the agent's start, take their time under emulation. */
const SERVES_MS = 60_000
/** A mount that fails takes 10 s, and asking the cluster why some more. */
const INIT_MS = 120_000
const WRONG_KEY = 'AQBuAgFrHmVsDxAAoT64T2sBD3za57nBFW34mw=='

describe.skipIf(await requirePrerequisite('rig', missingRig))('CephFS pools of the agent as a service', () => {
  const rig = useRig()
  const ceph = useCeph(rig)
  let made: Set<string>
  let keyring: string

  const request = (poolId: string, options: Record<string, unknown> = {}) => ({
    poolId,
    type: 'CEPH_FS',
    options: { monitors: ceph.monitors, user: 'fs', ...options },
  })
  const init = async (body: { poolId: string }) => {
    made.add(body.poolId)
    return rig.http<PoolBody & Failure>('POST', '/api/v1/storage/pools', body)
  }
  /** A directory of its own, so that tests do not meet each other's markers. */
  const directory = async () => {
    const path = `/${randomUUID()}`
    await rig.exec(`mkdir ${VIEW}${path}`)
    return path
  }
  const pool = async (options: Record<string, unknown> = {}) => {
    const path = await directory()
    const answer = await init(request(randomUUID(), { path, ...options }))
    expect(answer).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
    return { ...answer.body, path }
  }
  const look = async (poolId: string) => (await rig.http<PoolBody>('GET', `/api/v1/storage/pools/${poolId}`)).body
  const health = async (poolId: string, wanted: RegExp, timeoutMs: number) =>
    until(async () => {
      const body = await look(poolId)
      return wanted.test(body.health) && body
    }, timeoutMs)
  const destroy = async (poolId: string) => rig.http<Failure>('DELETE', `/api/v1/storage/pools/${poolId}`)
  const mountsOf = async () =>
    (await rig.exec('cat /proc/self/mountinfo'))
      .split('\n')
      .filter((line) => line.includes(' - ceph ') && !line.includes(` ${VIEW} `))
  const leftovers = async () => (await rig.exec(`ls -A ${MOUNTS} ${SECRETS} 2>/dev/null | grep -v :$ || true`)).trim()

  const mountView = `mount -t ceph -o name=admin,secretfile=/root/view.secret ${rig.serverAddress}:/ ${VIEW}`

  beforeAll(async () => {
    keyring = await ceph.keyring('fs')
    await ceph.keyring('nobody')
    await ceph.keyring('stranger', WRONG_KEY)
    await rig.write('/root/view.secret', await ceph.keyOf('admin'), '0600')
    await rig.exec(`mkdir -p ${VIEW} && ${mountView}`)
    return () => rig.exec(`umount -f ${VIEW}; rmdir ${VIEW}; rm /root/view.secret`)
  })
  beforeEach(() => {
    made = new Set()
  })
  afterEach(async () => {
    await rig.heal()
    for (const poolId of made) {
      await until(async () => [204, 404].includes((await destroy(poolId)).status))
    }
    expect(await mountsOf()).toEqual([])
    expect(await leftovers()).toBe('')
  })

  describe('mounting', () => {
    test('by gRPC with the fields of the contract: the default file system, by its name or not', async () => {
      const poolId = randomUUID()
      made.add(poolId)
      for (const [poolName, monitors] of [
        ['', ceph.monitors],
        ['cephfs', [`${rig.serverAddress}:3300`]],
      ] as const) {
        const config = { ceph: { poolName, monitors, user: 'fs', keyringPath: keyring } }
        const body = { poolId, type: 'STORAGE_POOL_TYPE_CEPH_FS', config }
        const answer = await rig.node.call<PoolBody>('InitStoragePool', body, INIT_MS)
        expect(answer).toMatchObject({ mountPath: `${MOUNTS}/cephfs-${poolId}`, health: 'STORAGE_POOL_HEALTH_HEALTHY' })
        const [mount = ''] = await mountsOf()
        expect(mount).toContain(` ${MOUNTS}/cephfs-${poolId} rw,nosuid,nodev,noexec`)
        expect(mount).toMatch(/recover_session=clean/)
        expect(mount).toMatch(poolName === '' ? / - ceph \S+:6789:\/ / : / - ceph \S+:3300:\/ .*mds_namespace=cephfs/)
        await rig.node.call('DestroyStoragePool', { poolId })
      }
      made.delete(poolId)
      // The next pool at the root would meet its marker.
      await rig.exec(`rm -rf ${VIEW}/.limiquantix*`)
    })

    test.each([
      ['a wrong key', { user: 'stranger' }, 'login_denied', /client\.stranger/],
      ['a user who may not use the file system', { user: 'nobody' }, 'login_denied', /client\.nobody/],
      ['a missing keyring', { user: 'unheard' }, 'pool_config_invalid', /keyring_path.*ceph\.client\.unheard\.keyring/],
      ['an unknown file system', { poolName: 'nofs' }, 'ceph_pool_missing', /nofs.*sees: cephfs/],
      ['an unknown directory', { path: '/nowhere' }, 'export_missing', /\/nowhere/],
      ['an unknown host', { monitors: ['no-such-host.invalid'] }, 'server_unknown', /no-such-host\.invalid/],
      ['an address without a monitor', { monitors: ['10.99.0.77'] }, 'server_not_answering', /10\.99\.0\.77/],
    ])('%s has its own reason, and nothing is left', async (_what, options, reason, text) => {
      const poolId = randomUUID()
      const { status, body } = await init(request(poolId, options))
      expect(body.error).toBe(reason)
      expect(status).toBeGreaterThanOrEqual(400)
      expect(body.message).toMatch(text)
      expect(await mountsOf()).toEqual([])
      expect(await leftovers()).toBe('')
      // There is nothing to destroy, and to search the host for it takes long.
      made.delete(poolId)
    })

    test('the key is nowhere to be seen', async () => {
      const { poolId } = await pool()
      const key = await ceph.keyOf('fs')
      expect((await rig.tryExec(`journalctl --no-pager | grep -cF ${key}`)).stdout.trim()).toBe('0')
      expect((await rig.tryExec(`grep -rlF ${key} /var/lib/limiquantix/store /run/systemd /var/log`)).stdout).toBe('')
      expect(JSON.stringify(await look(poolId))).not.toContain(key)
    })
  })

  describe('a cluster', () => {
    test.each([
      ['that was killed', () => rig.server('ceph').kill(), () => rig.server('ceph').start()],
      ['that is cut off', () => rig.server('ceph').drop(), () => rig.server('ceph').pass()],
      ['without its monitor', () => rig.server('ceph-mon').stop(), () => rig.server('ceph-mon').start()],
    ])('%s is told in time, holds up nobody, and its pool comes back by itself', async (_what, fail, cure) => {
      const { poolId } = await pool()
      await fail()
      const failedAt = performance.now()
      const left = await health(poolId, /^(ERROR|UNMOUNTED)$/, failedAt + LEAVES_HEALTHY_MS - performance.now())
      expect(left).toMatchObject({ health: 'ERROR', healthReason: 'SERVER_NOT_ANSWERING' })
      expect(left.message).toMatch(/^Ceph cluster 10\.99\.0\.1 does not answer \(for \d+ s\)$/)
      // A hung or unmounted pool is an error, never an empty list.
      const files = await rig.http<Failure>('GET', `/api/v1/storage/pools/${poolId}/files`)
      expect(files).toMatchObject({ status: 503, body: { error: 'pool_unavailable' } })
      await cure()
      await health(poolId, /^HEALTHY$/, RECOVERS_MS)
      expect((await rig.http('GET', `/api/v1/storage/pools/${poolId}/files`)).status).toBe(200)
    })

    test('that is dead does not keep its pool from being destroyed', async () => {
      const { poolId } = await pool()
      await rig.server('ceph').freeze()
      await health(poolId, /ERROR/, LEAVES_HEALTHY_MS)
      expect((await destroy(poolId)).status).toBe(204)
      expect(await mountsOf()).toEqual([])
    })
  })

  test('a mount that is taken away is mounted again, and nothing is written below it meanwhile', async () => {
    const { poolId, mountPath } = await pool()
    await rig.exec(`umount -l ${mountPath}`)
    expect((await rig.exec(`ls -A ${mountPath}`)).trim()).toBe('')
    await until(async () => (await mountsOf()).length === 1)
    await health(poolId, /^HEALTHY$/, SERVES_MS)
  })

  test('mounts outlive the agent; its pools serve again after a kill, also when their records are lost', async () => {
    const pools = [await pool(), await pool({ mountPoint: `/srv/cephfs/${randomUUID()}` })]
    const before = await mountsOf()
    // One place less that the agent looks for its pools at.
    await rig.exec(`umount ${VIEW}`)
    for (const lost of ['', 'rm -rf /var/lib/limiquantix/store/pools && ']) {
      await rig.exec('systemctl kill --signal=SIGKILL limiquantix-node')
      await rig.exec(`${lost}systemctl restart limiquantix-node`)
      for (const { poolId, mountPath } of pools) {
        expect(await health(poolId, /^HEALTHY$/, SERVES_MS)).toMatchObject({ mountPath })
      }
      expect(await mountsOf()).toEqual(before)
    }
    await rig.exec(mountView)
  })

  test('a quota on the directory is the size of the pool', async () => {
    const path = await directory()
    // The host has no setfattr(1).
    await rig.exec(`python3 -c 'import os; os.setxattr("${VIEW}${path}", "ceph.quota.max_bytes", b"134217728")'`)
    const { body } = await init(request(randomUUID(), { path }))
    expect(Number(body.totalBytes)).toBe(134_217_728)
  })
})
