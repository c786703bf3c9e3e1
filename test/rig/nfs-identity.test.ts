import { randomUUID } from 'node:crypto'
import { readdir, readFile, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { heldImage } from './held-image.ts'
import { rigPools, type PoolBody } from './rig-pools.ts'
import { missingRig, useRig } from './use-rig.ts'

interface Job {
  readonly jobId: string
  readonly status: string
  readonly targetPath: string
  readonly errorMessage: string | null
}

const RECOVERS_MS = 30_000
/** A second view of the host's own disk, which shows what is below a mount point. */
const BELOW = '/run/rig-below'
const FOREIGN = '/srv/rig-foreign'

describe.skipIf(await requirePrerequisite('rig', missingRig))('an NFS pool whose storage is not what it was', () => {
  const rig = useRig()
  const pools = rigPools(rig)

  const mounted = async ({ mountPath }: PoolBody) =>
    (await rig.exec(`grep -c " ${mountPath} " /proc/self/mountinfo || true`)).trim() !== '0'
  // A mount that was refused takes its mount point away again.
  const below = async ({ mountPath: at }: PoolBody) =>
    (await rig.exec(`! test -e ${BELOW}${at} || ls -A ${BELOW}${at}`)).trim()
  const job = async (jobId: string) => (await rig.http<Job>('GET', `/api/v1/images/download/${jobId}`)).body
  const ended = async (jobId: string) =>
    until(async () => {
      const now = await job(jobId)
      return ['completed', 'failed'].includes(now.status) && now
    }, 120_000)
  /** The server remembers names for a while; they were changed behind its back. */
  const forgetNames = async () => {
    await rig.server('nfs').stop()
    await rig.server('nfs').start()
  }
  /** Everything below a directory on the server's side, temporary files and records included. */
  const filesIn = async (directory: string) => (await readdir(directory, { recursive: true })).sort()

  const sizeOf = (file: string) =>
    stat(file).then(
      ({ size }) => size,
      () => 0,
    )
  /** Bytes of temporary files, on the server's side. */
  const bytesReceived = async (directory: string) => {
    const temporary = (await filesIn(directory)).filter((name) => name.endsWith('.lqxtmp'))
    return Math.max(
      0,
      // One that is replaced as a whole goes while this looks.
      ...(await Promise.all(temporary.map((name) => sizeOf(path.join(directory, name))))),
    )
  }

  beforeAll(() => rig.exec(`mkdir -p ${BELOW} ${FOREIGN} && mount --bind / ${BELOW} && mount --make-private ${BELOW}`))
  afterEach(() => pools.destroyAll())
  afterAll(() => rig.exec(`umount ${BELOW} && rmdir ${BELOW} ${FOREIGN}`))

  test('another export in its place is refused, gets no byte, and the pool is back when its own is', async () => {
    const pool = await pools.nfs('pool5')
    const other = await pools.nfs('pool5')
    // Its marker stays, as on an export that another host uses; mounted, it would share the kernel's memory of names with the first one.
    await pools.destroy(other.poolId)
    const image = 'cloud-images'
    await rename(pool.serverPath, `${pool.serverPath}.away`)
    await rename(other.serverPath, pool.serverPath)
    await forgetNames()
    // The mount knows its directory by handle, not by name: nothing has changed for it.
    await rig.exec(`mkdir ${pool.mountPath}/${image} && touch ${pool.mountPath}/${image}/here`)
    expect(await readdir(`${pool.serverPath}.away/${image}`)).toEqual(['here'])
    const untouched = await filesIn(pool.serverPath)

    // A mount anew, as after a reboot, meets the other one.
    await rig.exec(`umount -l ${pool.mountPath}`)
    const refused = await until(async () => {
      const now = await pools.look(pool.poolId)
      return now.healthReason === 'POOL_IDENTITY_MISMATCH' && now
    })
    expect(refused.health).toBe('ERROR')
    expect(refused.message).toContain(`holds pool ${other.poolId}, not pool ${pool.poolId}`)
    expect(await pools.filesStatus(pool.poolId)).toBe(503)
    const download = await rig.http('POST', '/api/v1/images/download', {
      imageId: randomUUID(),
      url: 'http://10.99.0.1:9/image.qcow2',
      targetDir: `${pool.mountPath}/${image}`,
      poolId: pool.poolId,
    })
    expect(download.status).toBeGreaterThanOrEqual(500)
    expect(await filesIn(pool.serverPath)).toEqual(untouched)
    expect(await below(pool)).toBe('')

    await rename(pool.serverPath, other.serverPath)
    await rename(`${pool.serverPath}.away`, pool.serverPath)
    await forgetNames()
    await pools.becomes(pool.poolId, /^HEALTHY$/, RECOVERS_MS)
    expect(await pools.filesStatus(pool.poolId)).toBe(200)
  })

  describe('during a download', () => {
    test.each([
      ['unmounted behind its back', (at: string) => `umount -l ${at}`, () => 'true'],
      [
        'covered by another directory',
        (at: string) => `umount -l ${at} && mount --bind ${FOREIGN} ${at}`,
        (at: string) => `umount ${at}`,
      ],
    ])('%s: no byte lands elsewhere, and the job tells the truth', async (_what, take, giveBack) => {
      await using held = await heldImage()
      await using port = await rig.expose(held.port)
      const pool = await pools.nfs('pool5')
      const request = {
        imageId: randomUUID(),
        url: `http://${rig.serverAddress}:${port.port}/image.qcow2`,
        targetDir: `${pool.mountPath}/cloud-images`,
        poolId: pool.poolId,
        filename: 'image.qcow2',
        checksum: held.checksum,
      }
      const { body: first } = await rig.http<Job>('POST', '/api/v1/images/download', request)
      await held.halfway()
      await until(async () => (await bytesReceived(pool.serverPath)) > 0)
      await rig.exec(take(pool.mountPath))
      held.release()
      const result = await ended(first.jobId)

      expect(await below(pool)).toBe('')
      expect((await rig.exec(`ls -A ${FOREIGN}`)).trim()).toBe('')
      const file = `${pool.serverPath}/cloud-images/image.qcow2`
      if (result.status === 'completed') {
        // It went on through the directory it had opened, which is the pool's.
        expect(held.image.equals(await readFile(file))).toBe(true)
      } else {
        expect(result.errorMessage).toMatch(new RegExp(`${pool.poolId}|${pool.mountPath}`))
        expect(await readdir(`${pool.serverPath}/cloud-images`)).not.toContain('image.qcow2')
      }

      await rig.exec(giveBack(pool.mountPath))
      await until(() => mounted(pool))
      await pools.becomes(pool.poolId, /^HEALTHY$/, RECOVERS_MS)
      // The same again is complete, and leaves nothing of the first run behind.
      const { body: second } = await rig.http<Job>('POST', '/api/v1/images/download', {
        ...request,
        imageId: randomUUID(),
      })
      expect(await ended(second.jobId)).toMatchObject({ status: 'completed', errorMessage: null })
      expect(held.image.equals(await readFile(file))).toBe(true)
      process.stdout.write(
        `${_what}: ${result.status} ${result.errorMessage ?? ''}\n  ${(await filesIn(pool.serverPath)).join(' ')}\n`,
      )
      expect(await below(pool)).toBe('')
    })
  })
})
