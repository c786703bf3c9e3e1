import { randomUUID } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import {
  blankLuns,
  CHAP_PASSWORD,
  CHAP_TARGET,
  CHAP_USER,
  clearInitiator,
  iscsiLeftovers,
  lunHash,
  PLAIN_TARGET,
} from './iscsi-server.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'

interface PoolBody {
  readonly poolId: string
  readonly health: string
  readonly healthReason: string
  readonly message: string
  readonly totalBytes: number
}

interface Failure {
  readonly error: string
  readonly message: string
}

const RECORDER = '/usr/local/sbin/iscsiadm'
const LOCAL = 'iscsi-test-local'
/** What the design promises: a dead pool is told within 25 s, and a server's return is noticed within 30 s. */
const LEAVES_HEALTHY_MS = 25_000
const RECOVERS_MS = 30_000

describe.skipIf(await requirePrerequisite('rig', missingRig))('iSCSI pools of the agent as a service', () => {
  const rig = useRig()
  const service = agentService(rig)
  const server = rig.server('iscsi')
  const chap = { target: CHAP_TARGET, chapEnabled: true, chapUser: CHAP_USER, chapPassword: CHAP_PASSWORD }
  let made: Set<string>

  const request = (options: Record<string, unknown> = {}) => ({
    poolId: randomUUID(),
    type: 'ISCSI',
    options: { portal: rig.serverAddress, target: PLAIN_TARGET, lun: 1, ...options },
  })
  const init = async (body: ReturnType<typeof request>) => {
    made.add(body.poolId)
    return rig.http<PoolBody & Failure>('POST', '/api/v1/storage/pools', body)
  }
  const pool = async (options: Record<string, unknown> = {}) => {
    const body = request(options)
    const answer = await init(body)
    expect(answer).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
    return { ...answer.body, volumeGroup: `vg_${body.poolId}` }
  }
  const look = async (poolId: string) => (await rig.http<PoolBody>('GET', `/api/v1/storage/pools/${poolId}`)).body
  const health = async (poolId: string, wanted: RegExp, timeoutMs: number) =>
    until(async () => {
      const body = await look(poolId)
      return wanted.test(body.health) && body
    }, timeoutMs)
  const destroy = async (poolId: string) => rig.http<Failure>('DELETE', `/api/v1/storage/pools/${poolId}`)
  const sessions = async () => (await rig.exec('ls /sys/class/iscsi_session 2>/dev/null || true')).trim().split('\n')
  const logInByHand = (target: string) =>
    rig.exec(
      `iscsiadm -m node -o new -T ${target} -p ${rig.serverAddress} && iscsiadm -m node -T ${target} --login && udevadm settle`,
    )
  const disk = (lun: number) => `/dev/disk/by-path/ip-${rig.serverAddress}:3260-iscsi-${PLAIN_TARGET}-lun-${lun}`

  beforeAll(async () => {
    await rig.exec('systemctl restart limiquantix-node')
    await clearInitiator(rig)
    await blankLuns(rig)
    await rig.http('POST', '/api/v1/storage/pools', { poolId: LOCAL, type: 'LOCAL_DIR', path: '/srv/iscsi-test-local' })
    return async () => {
      await destroy(LOCAL)
    }
  })
  beforeEach(() => {
    made = new Set()
  })
  afterEach(async () => {
    await rig.heal()
    await rig.tryExec('kill $(cat /run/reader); rm -f /run/reader')
    for (const poolId of made) {
      await until(async () => [204, 404].includes((await destroy(poolId)).status))
    }
    const left = await iscsiLeftovers(rig)
    await clearInitiator(rig)
    await blankLuns(rig)
    expect(left).toEqual([])
  })

  test('a pool on a LUN behind CHAP comes by gRPC, works, and goes; the password is in no argument, environment or log', async () => {
    const poolId = randomUUID()
    made.add(poolId)
    // Stands in front of the real one on the unit's PATH.
    await rig.write(
      RECORDER,
      `#!/bin/sh\n{ printf '%s ' "$@"; env; echo; } >> /run/iscsiadm-calls\nexec /usr/sbin/iscsiadm "$@"\n`,
      '0755',
    )
    const config = { portal: rig.serverAddress, lun: 1, volumeGroup: '', ...chap }
    const request = { poolId, type: 'STORAGE_POOL_TYPE_ISCSI', config: { iscsi: config } }
    const info = await rig.node.call<Record<string, unknown>>('InitStoragePool', request, 150_000)
    expect(info).toMatchObject({
      type: 'STORAGE_POOL_TYPE_ISCSI',
      devicePath: `/dev/vg_${poolId}`,
      health: 'STORAGE_POOL_HEALTH_HEALTHY',
    })
    expect(Number(info['totalBytes'])).toBeGreaterThan(2 ** 30)
    expect(await rig.node.call('InitStoragePool', request, 150_000)).toMatchObject({ poolId })
    const calls = await rig.exec(`rm ${RECORDER}; cat /run/iscsiadm-calls; rm /run/iscsiadm-calls`)
    expect(calls).toMatch(/--login/)
    expect(calls).not.toContain(CHAP_PASSWORD)
    expect((await service.journal()).join('\n')).not.toContain(CHAP_PASSWORD)
    const [record = ''] = (await rig.exec(`grep -rl ${CHAP_PASSWORD} /etc/iscsi`)).trim().split('\n')
    expect((await rig.exec(`stat -c %a ${record}`)).trim()).toBe('600')
    await rig.node.call('DestroyStoragePool', { poolId }, 120_000)
    expect((await rig.tryExec(`grep -rl ${CHAP_PASSWORD} /etc/iscsi`)).stdout).toBe('')
  })

  test.each([
    ['an unknown target', { target: 'iqn.2025-01.rig:none' }, 'target_unknown', /iqn\.2025-01\.rig:none/],
    ['CHAP left out', { target: CHAP_TARGET }, 'login_denied', /CHAP/],
    ['a wrong CHAP password', { ...chap, chapPassword: 'wrong-secret-1' }, 'login_denied', /CHAP/],
    ['a wrong CHAP user', { ...chap, chapUser: 'nobody' }, 'login_denied', /CHAP/],
    ['an unknown host', { portal: 'no-such-host.invalid' }, 'server_unknown', /no-such-host\.invalid/],
    ['a port that nobody serves', { portal: '10.99.0.1:3261' }, 'server_not_answering', /10\.99\.0\.1:3261/],
    ['an address without a host', { portal: '10.99.0.77' }, 'server_not_answering', /10\.99\.0\.77:3260/],
    ['a LUN that is missing', { lun: 7 }, 'device_missing', /LUN 7/],
    ['a portal that is none', { portal: 'a b' }, 'pool_config_invalid', /iscsi\.portal/],
    ['CHAP without a password', { ...chap, chapPassword: '' }, 'pool_config_invalid', /iscsi\.chap_password/],
  ])('%s has its own reason, and nothing is left', async (_what, options, reason, text) => {
    const body = request(options)
    const answer = await init(body)
    expect([answer.status, answer.body.error]).toEqual([expect.any(Number), reason])
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.body.message).toMatch(text)
    expect(answer.body.message).not.toContain('wrong-secret-1')
    expect(await iscsiLeftovers(rig)).toEqual([])
    expect((await rig.http('GET', `/api/v1/storage/pools/${body.poolId}`)).status).toBe(404)
  })

  test('two pools on one target share its session; the last one logs out', async () => {
    const [one, other] = [await pool({ lun: 1 }), await pool({ lun: 2 })]
    const before = await sessions()
    expect(before).toHaveLength(1)
    expect((await destroy(one.poolId)).status).toBe(204)
    expect(await sessions()).toEqual(before)
    expect((await health(other.poolId, /^HEALTHY$/, RECOVERS_MS)).healthReason).toBe('OK')
    expect((await destroy(other.poolId)).status).toBe(204)
    expect(await sessions()).toEqual([''])
  })

  test('a session that was there is used and stays', async () => {
    await logInByHand(PLAIN_TARGET)
    const before = await sessions()
    const { poolId } = await pool()
    expect(await sessions()).toEqual(before)
    expect((await destroy(poolId)).status).toBe(204)
    expect(await sessions()).toEqual(before)
    await clearInitiator(rig)
  })

  test('a LUN with foreign data is refused, and not one byte of it changes', async () => {
    await logInByHand(PLAIN_TARGET)
    await rig.exec(`mkfs.ext4 -q ${disk(1)} 2>&1 && sync`)
    await clearInitiator(rig)
    const before = await lunHash(rig, 'plain-1')
    const { body } = await init(request())
    expect(body).toMatchObject({ error: 'pool_data_foreign', message: expect.stringContaining('ext4') as string })
    expect(await lunHash(rig, 'plain-1')).toBe(before)
    expect(await iscsiLeftovers(rig)).toEqual([])
  })

  test.each([
    ['killed', () => server.kill(), () => server.start()],
    ['stopped (SIGSTOP)', () => server.freeze(), () => server.thaw()],
    ['cut off', () => server.drop(), () => server.pass()],
  ])(
    'a target that is %s is told in time, hurts no other pool, and comes back by itself',
    async (_what, fail, cure) => {
      const { poolId, volumeGroup } = await pool()
      // A guest's disk, as far as the kernel is concerned: it is read all the time, past the cache.
      await rig.exec(`lvcreate --yes --quiet -V 64m -n reader --thinpool thin_${poolId} ${volumeGroup} 2>&1`)
      await rig.exec(`dd if=/dev/urandom of=/dev/${volumeGroup}/reader bs=1M count=8 oflag=direct 2>&1`)
      const read = `while dd if=/dev/${volumeGroup}/reader of=/dev/null bs=1M count=8 iflag=direct 2>/dev/null; do date +%s%N > /run/read; sleep 0.2; done; touch /run/read-failed`
      await rig.exec(`rm -f /run/read /run/read-failed; (${read}) > /dev/null 2>&1 < /dev/null & echo $! > /run/reader`)
      const lastRead = async () => Number((await rig.tryExec('cat /run/read')).stdout)
      await until(async () => (await lastRead()) > 0)

      await fail()
      const failedAt = performance.now()
      const left = await health(poolId, /^(ERROR|UNMOUNTED)$/, LEAVES_HEALTHY_MS)
      expect(left).toMatchObject({ health: 'ERROR', healthReason: 'SERVER_NOT_ANSWERING' })
      expect(left.message).toMatch(/^iSCSI portal 10\.99\.0\.1:3260 does not answer/)
      expect(performance.now() - failedAt).toBeLessThan(LEAVES_HEALTHY_MS)
      expect((await look(LOCAL)).health).toBe('HEALTHY')
      expect((await rig.http('GET', `/api/v1/storage/pools/${LOCAL}/files`)).status).toBe(200)
      const before = await lastRead()

      await cure()
      await health(poolId, /^HEALTHY$/, RECOVERS_MS)
      // It waited, and goes on without an error.
      await until(async () => (await lastRead()) > before)
      expect((await rig.tryExec('test -e /run/read-failed')).code).toBe(1)
      await rig.exec('kill $(cat /run/reader); rm /run/reader')
      await until(async () => (await rig.tryExec(`lvremove --yes ${volumeGroup}/reader`)).code === 0)
    },
  )

  test('a dead target does not keep its pool from being destroyed', async () => {
    const { poolId } = await pool()
    await server.drop()
    await health(poolId, /^ERROR$/, LEAVES_HEALTHY_MS)
    expect((await destroy(poolId)).status).toBe(204)
    expect(await iscsiLeftovers(rig)).toEqual([])
  })

  test('sessions outlive the agent; it goes on with them after a kill, also when its records are lost', async () => {
    const { poolId } = await pool(chap)
    const before = await sessions()
    for (const lost of ['', 'rm -r /var/lib/limiquantix/store/pools /var/lib/limiquantix/store/iscsi-sessions; ']) {
      await rig.exec(`systemctl kill --signal=SIGKILL limiquantix-node; ${lost}systemctl restart limiquantix-node`)
      await health(poolId, /^HEALTHY$/, RECOVERS_MS)
      expect(await sessions()).toEqual(before)
    }
    expect((await destroy(poolId)).status).toBe(204)
    expect(await iscsiLeftovers(rig)).toEqual([])
  })

  test('a session that somebody ended begins anew', async () => {
    const { poolId, volumeGroup } = await pool()
    const before = await sessions()
    await rig.exec(`vgchange -an ${volumeGroup} 2>&1; iscsiadm -m session -u`)
    await until(async () => {
      const now = await sessions()
      return now[0] !== '' && now[0] !== before[0]
    })
    await health(poolId, /^HEALTHY$/, RECOVERS_MS)
  })
})
