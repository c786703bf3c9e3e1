import { randomUUID } from 'node:crypto'
import { cp, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { status } from '@grpc/grpc-js'
import { moments } from '../host/moments.ts'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { missingRig, useRig } from './use-rig.ts'

interface PoolBody {
  readonly poolId: string
  readonly mountPath: string
  readonly health: string
  readonly healthReason: string
  readonly message: string
  readonly observedAt: string
}

interface Failure {
  readonly error: string
  readonly message: string
}

const MOUNTS = '/var/lib/limiquantix/mnt'
const LOCAL = 'nfs-test-local'
/** What the design promises: a dead pool is told within 25 s, and a server's return is noticed within 30 s. */
const LEAVES_HEALTHY_MS = 25_000
const RECOVERS_MS = 30_000
/** Several pools, and several waits of half a minute. */
const SLOW = { timeout: 300_000 }

describe.skipIf(await requirePrerequisite('rig', missingRig))('NFS pools of the agent as a service', () => {
  const rig = useRig()
  let made: Set<string>

  const request = (poolId: string, options: Record<string, unknown> = {}, nfsExport = '/pool1') => ({
    poolId,
    type: 'NFS',
    nfsServer: rig.serverAddress,
    nfsExport,
    options,
  })
  const init = async (body: { poolId: string }) => {
    made.add(body.poolId)
    return rig.http<PoolBody & Failure>('POST', '/api/v1/storage/pools', body)
  }
  /** A directory of its own on the server, so that tests do not meet each other's markers. */
  const serverDirectory = async (exportName = 'pool1') => {
    const name = randomUUID()
    await mkdir(`${rig.nfsExports}/${exportName}/${name}`, { mode: 0o711 })
    return { path: `${rig.nfsExports}/${exportName}/${name}`, nfsExport: `/${exportName}/${name}` }
  }
  const pool = async (options: Record<string, unknown> = {}, exportName = 'pool1') => {
    const directory = await serverDirectory(exportName)
    const body = request(randomUUID(), options, directory.nfsExport)
    const answer = await init(body)
    expect(answer).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
    return { ...answer.body, ...directory }
  }
  const look = async (poolId: string) => (await rig.http<PoolBody>('GET', `/api/v1/storage/pools/${poolId}`)).body
  const health = async (poolId: string, wanted: RegExp, timeoutMs: number) =>
    until(async () => {
      const body = await look(poolId)
      return wanted.test(body.health) && body
    }, timeoutMs)
  const destroy = async (poolId: string) => rig.http<Failure>('DELETE', `/api/v1/storage/pools/${poolId}`)
  const mountsOf = async () =>
    (await rig.exec('cat /proc/self/mountinfo')).split('\n').filter((line) => / - nfs4? /.test(line))
  /** A process that has a file open until `kill $(cat /run/holder)`. */
  const hold = async (file: string) =>
    // The shell opens the file in the new process, before that becomes sleep.
    rig.exec(
      `sleep 3000 > ${file} 2>&1 < /dev/null & echo $! > /run/holder; until grep -qx sleep /proc/$!/comm; do :; done`,
    )
  /** Mount points, units that mount, and records in the agent's state that still speak of one of the pools. */
  const leftovers = async (...poolIds: readonly string[]) => {
    const units = 'systemctl list-units --all --no-legend "limiquantix-mount-*"'
    const records = poolIds.map((poolId) => `grep -rlF -e ${poolId} /var/lib/limiquantix/store`).join('; ')
    return (await rig.exec(`ls -A ${MOUNTS} 2>/dev/null; ${units}; ${records || 'true'}; true`)).trim()
  }

  beforeAll(async () => {
    await rig.exec('systemctl restart limiquantix-node', { timeoutMs: 120_000 })
    await rig.http('POST', '/api/v1/storage/pools', { poolId: LOCAL, type: 'LOCAL_DIR', path: '/srv/nfs-test-local' })
  })
  beforeEach(() => {
    made = new Set()
  })
  afterEach(async () => {
    await rig.heal()
    await rig.tryExec('kill $(cat /run/holder); rm -f /run/holder')
    for (const poolId of made) {
      await until(async () => [204, 404].includes((await destroy(poolId)).status))
    }
    expect(await mountsOf()).toEqual([])
    expect(await leftovers()).toBe('')
  })
  afterAll(async () => {
    await destroy(LOCAL)
  })

  describe('mounting', () => {
    test.each([
      ['3', 'nolock', '3'],
      ['4', '', '4.2'],
      ['4.0', '', '4.0'],
      ['', '', '4.1'],
      ['4.2', 'noatime,nconnect=2', '4.2'],
    ])('version %j with options %j is mounted hard with vers=%s', async (version, options, negotiated) => {
      const { mountPath, poolId } = await pool({ version, options })
      expect(mountPath).toBe(`${MOUNTS}/nfs-${poolId}`)
      const [mount = ''] = await mountsOf()
      expect(mount).toContain(` ${mountPath} `)
      expect(mount).toMatch(new RegExp(`[, ]vers=${negotiated.replace('.', '\\.')},`))
      expect(mount).toMatch(/,hard,/)
      expect(mount).toMatch(/nosuid,nodev,noexec/)
    })

    test.each([
      ['an export that is missing', { nfsExport: '/nowhere' }, {}, 'export_missing', /\/nowhere/],
      [
        'an export that is denied',
        { nfsExport: '/denied' },
        { version: '3', options: 'nolock' },
        'export_denied',
        /\/denied/,
      ],
      ['an unknown host', { nfsServer: 'no-such-host.invalid' }, {}, 'server_unknown', /no-such-host\.invalid/],
      ['a host without NFS', {}, { options: 'port=2050' }, 'server_not_answering', /10\.99\.0\.1 .*refused/],
      ['an address without a host', { nfsServer: '10.99.0.77' }, {}, 'server_not_answering', /10\.99\.0\.77/],
      ['a read-only export', { nfsExport: '/readonly' }, {}, 'pool_not_writable', /read-only/],
      ['an export without permission', { nfsExport: '/squashed' }, {}, 'pool_not_writable', /ermission/],
      ['an option this kernel does not know', {}, { options: 'xprtsec=tls' }, 'mount_option_refused', /nfs\.options/],
      ['Kerberos without its setup', {}, { options: 'sec=krb5' }, 'mount_option_refused', /nfs\.options/],
    ])('%s has its own reason, and nothing is left', async (_what, change, options, reason, text) => {
      const poolId = randomUUID()
      const { status, body } = await init({ ...request(poolId, options), ...change })
      expect([status, body.error]).toEqual([expect.any(Number), reason])
      expect(status).toBeGreaterThanOrEqual(400)
      expect(body.message).toMatch(text)
      expect(await mountsOf()).toEqual([])
      expect(await leftovers(poolId)).toBe('')
      expect((await rig.http('GET', `/api/v1/storage/pools/${poolId}`)).status).toBe(404)
    })

    test.each([
      ['an export that is missing', { exportPath: '/nowhere' }, status.FAILED_PRECONDITION, /has no export \/nowhere/],
      ['an unknown host', { server: 'no-such-host.invalid' }, status.UNAVAILABLE, /no-such-host\.invalid/],
      [
        'an export that is denied',
        { exportPath: '/denied', version: '3', options: 'nolock' },
        status.PERMISSION_DENIED,
        /does not let this host use \/denied/,
      ],
      ['a version that is none', { version: '5' }, status.INVALID_ARGUMENT, /nfs\.version/],
    ])('over gRPC, %s has its own status, and nothing is left', async (_what, change, code, text) => {
      const poolId = randomUUID()
      const nfs = { server: rig.serverAddress, exportPath: '/pool1', ...change }
      const call = rig.node.call('InitStoragePool', { poolId, type: 'STORAGE_POOL_TYPE_NFS', config: { nfs } })
      await expect(call).rejects.toMatchObject({ status: code, message: expect.stringMatching(text) as string })
      expect(await mountsOf()).toEqual([])
      expect(await leftovers(poolId)).toBe('')
    })

    test('a mount point of its own is mounted, and goes with the pool', async () => {
      const mountPoint = `/srv/nfs/${randomUUID()}`
      const { poolId, mountPath } = await pool({ mountPoint })
      expect(mountPath).toBe(mountPoint)
      expect((await mountsOf())[0]).toContain(` ${mountPoint} `)
      expect((await destroy(poolId)).status).toBe(204)
      expect((await rig.tryExec(`test -e ${mountPoint}`)).code).not.toBe(0)
    })

    test('a mount point that was there before stays', async () => {
      const mountPoint = `/srv/nfs-kept-${randomUUID()}`
      await rig.exec(`mkdir ${mountPoint}`)
      const { poolId } = await pool({ mountPoint })
      await destroy(poolId)
      await rig.exec(`rmdir ${mountPoint}`)
    })

    test('a mount point with content of its own is refused', async () => {
      await rig.exec('mkdir -p /srv/nfs-full && touch /srv/nfs-full/data')
      const { body } = await init(request(randomUUID(), { mountPoint: '/srv/nfs-full' }))
      expect(body.error).toBe('mount_point_not_empty')
      expect((await rig.exec('ls /srv/nfs-full; rm -r /srv/nfs-full')).trim()).toBe('data')
    })

    test('another export at the mount point is an error that names it, and stays mounted', async () => {
      const poolId = randomUUID()
      const place = `${MOUNTS}/nfs-${poolId}`
      await rig.exec(`mkdir -p ${place} && mount -t nfs -o vers=4.1 ${rig.serverAddress}:/pool2 ${place}`)
      const { body } = await init(request(poolId))
      expect(body).toMatchObject({
        error: 'mount_foreign',
        message: expect.stringMatching(/another export.*:\/pool2/) as string,
      })
      expect(await mountsOf()).toHaveLength(1)
      await rig.exec(`umount ${place} && rmdir ${place}`)
    })

    test('a mount that is right is taken as it is', async () => {
      const { nfsExport } = await serverDirectory()
      const poolId = randomUUID()
      const place = `${MOUNTS}/nfs-${poolId}`
      await rig.exec(`mkdir -p ${place} && mount -t nfs -o vers=4.1 ${rig.serverAddress}:${nfsExport} ${place}`)
      const [before] = await mountsOf()
      expect((await init(request(poolId, {}, nfsExport))).status).toBe(200)
      expect(await mountsOf()).toEqual([before])
      await destroy(poolId)
      await rig.exec(`rmdir ${place}`)
    })
  })

  describe('a server that is', () => {
    const server = rig.server('nfs')
    test.each(
      moments<[string, () => Promise<unknown>, () => Promise<unknown>]>([
        ['stopped (SIGSTOP)', () => server.freeze(), () => server.thaw()],
        ['killed', () => server.kill(), () => server.start()],
        ['cut off', () => server.drop(), () => server.pass()],
      ]),
    )('%s is told in time, hurts no other pool, and comes back by itself', SLOW, async (_what, fail, cure) => {
      const pools = [await pool({}, 'pool1'), await pool({}, 'pool2'), await pool({}, 'pool3'), await pool({}, 'pool4')]
      await fail()
      const failedAt = performance.now()
      for (const { poolId } of pools) {
        const left = await health(poolId, /^(ERROR|UNMOUNTED)$/, failedAt + LEAVES_HEALTHY_MS - performance.now())
        expect(left).toMatchObject({ health: 'ERROR', healthReason: 'SERVER_NOT_ANSWERING' })
        expect(left.message).toMatch(/^NFS server 10\.99\.0\.1 does not answer \(for \d+ s\)$/)
      }
      expect((await look(LOCAL)).health).toBe('HEALTHY')
      expect((await rig.http('GET', `/api/v1/storage/pools/${LOCAL}/files`)).status).toBe(200)
      // A hung or unmounted pool is an error, never an empty list.
      const files = await rig.http<Failure>('GET', `/api/v1/storage/pools/${pools[0]?.poolId}/files`)
      expect(files).toMatchObject({ status: 503, body: { error: 'pool_unavailable' } })
      const helpers = (await rig.exec('pgrep -fc "limiquantix-node.mjs worker storage"')).trim()
      // One for each pool, and those that are shared.
      expect(Number(helpers)).toBeLessThanOrEqual(pools.length + 2)
      await cure()
      // The kernel's client tries again in pauses that grow with the time that the server was away; what follows is the agent's.
      await rig.exec(`stat -f ${pools[0]?.mountPath}`, { timeoutMs: 120_000 })
      const curedAt = performance.now()
      for (const { poolId } of pools) {
        await health(poolId, /^HEALTHY$/, curedAt + RECOVERS_MS - performance.now())
      }
    })

    test('dead does not keep its pool from being destroyed', async () => {
      const { poolId } = await pool({}, 'pool5')
      await server.freeze()
      await health(poolId, /ERROR/, LEAVES_HEALTHY_MS)
      expect((await destroy(poolId)).status).toBe(204)
      expect(await mountsOf()).toEqual([])
    })
  })

  test('a pool in use is not unmounted, and the users are named', async () => {
    const { poolId, mountPath, path } = await pool()
    await rig.exec(`mkdir ${mountPath}/iso`)
    await hold(`${mountPath}/iso/held`)
    const refused = await destroy(poolId)
    expect(refused.body).toMatchObject({
      error: 'pool_in_use',
      message: expect.stringContaining('sleep (pid') as string,
    })
    expect(await mountsOf()).toHaveLength(1)
    expect(await readdir(`${path}/iso`)).toEqual(['held'])
    await rig.exec('kill $(cat /run/holder)')
    expect((await look(poolId)).health).toBe('HEALTHY')
  })

  test('a stale pool is mounted anew when nothing uses it, and only then', async () => {
    const { poolId, mountPath, path } = await pool()
    const [before] = await mountsOf()
    await hold(`${mountPath}/held`)
    // The same content under another inode: the file handles of the old one are stale.
    await cp(path, `${path}.new`, { recursive: true })
    await rm(path, { recursive: true })
    await rename(`${path}.new`, path)
    await rig.server('nfs').stop()
    await rig.server('nfs').start()
    // Until the kernel has found its server again, that is what is wrong; then its answer is that the handle is stale.
    await rig.exec(`stat -f ${mountPath} || true`, { timeoutMs: 120_000 })
    const stale = await until(async () => {
      const body = await look(poolId)
      return body.healthReason === 'POOL_STALE' && body
    }, LEAVES_HEALTHY_MS)
    expect(stale).toMatchObject({ health: 'ERROR', message: expect.stringContaining('sleep (pid') as string })
    expect(await mountsOf()).toEqual([before])
    await rig.exec('kill $(cat /run/holder)')
    await health(poolId, /^HEALTHY$/, RECOVERS_MS)
    expect(await mountsOf()).toHaveLength(1)
  })

  test('a mount that is taken away is mounted again, and nothing is written below it meanwhile', async () => {
    const { poolId, mountPath } = await pool()
    await rig.exec(`umount -l ${mountPath}`)
    expect((await rig.exec(`ls -A ${mountPath}`)).trim()).toBe('')
    await until(async () => (await mountsOf()).length === 1)
    await health(poolId, /^HEALTHY$/, RECOVERS_MS)
  })

  test('mounts outlive the agent; its pools serve again after a kill, also without their records', SLOW, async () => {
    const pools = [await pool({}, 'pool1'), await pool({ mountPoint: `/srv/nfs/${randomUUID()}` }, 'pool2')]
    const before = await mountsOf()
    for (const lost of ['', 'rm -rf /var/lib/limiquantix/store/pools && ']) {
      await rig.exec('systemctl kill --signal=SIGKILL limiquantix-node')
      await rig.exec(`${lost}systemctl restart limiquantix-node`, { timeoutMs: 120_000 })
      for (const { poolId, mountPath } of pools) {
        expect(await health(poolId, /^HEALTHY$/, RECOVERS_MS)).toMatchObject({ mountPath })
      }
      expect(await mountsOf()).toEqual(before)
    }
    expect((await stat(`${pools[0]?.path}/.limiquantix-pool.json`)).isFile()).toBe(true)
    await rig.http('POST', '/api/v1/storage/pools', { poolId: LOCAL, type: 'LOCAL_DIR', path: '/srv/nfs-test-local' })
  })
})
