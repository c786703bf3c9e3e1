import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { upPairRig, type PairRig } from './pair-rig.ts'
import {
  countsBeyond,
  ended,
  followed,
  identity,
  jobOn,
  migrate,
  PATIENCE_MS,
  placeImages,
  poolOnBoth,
  seedDigest,
  startVm,
  stateOn,
  traces,
} from './pair-vms.ts'
import { missingForRig } from './run-rig.ts'

describe.skipIf(await requirePrerequisite('rig', missingForRig))('a VM that runs moves between two hosts', () => {
  let pair: PairRig
  const pools: string[] = []
  beforeAll(async () => {
    pair = await upPairRig()
    return cleanUp
  }, 2 * PATIENCE_MS)
  beforeAll(() => placeImages(pair), PATIENCE_MS)

  async function cleanUp(): Promise<void> {
    if (pair.isOwn) return pair.down()
    for (const rig of [pair.a, pair.b]) {
      const { body } = await rig.http<{ vms: { vmId: string }[] }>('GET', '/api/v1/vms')
      for (const { vmId } of body.vms) await rig.http('DELETE', `/api/v1/vms/${vmId}`)
      for (const poolId of pools) await rig.http('DELETE', `/api/v1/storage/pools/${poolId}`)
    }
  }

  const both = async (vmId: string) => ({ a: await stateOn(pair.a, vmId), b: await stateOn(pair.b, vmId) })
  const MOVED = { a: 'absent', b: 'RUNNING' }
  const STAYED = { a: 'RUNNING', b: 'absent' }

  async function nfsPool(): Promise<string> {
    const name = `pool1/${randomUUID()}`
    await mkdir(`${pair.a.nfsExports}/${name}`, { mode: 0o711 })
    const poolId = await poolOnBoth(pair, { type: 'NFS', nfsServer: pair.a.serverAddress, nfsExport: `/${name}` })
    pools.push(poolId)
    return poolId
  }

  test(
    'over NFS: with its memory, its seed and what it is called, and leaves nothing behind',
    { timeout: PATIENCE_MS },
    async () => {
      const { a, b } = pair
      const vmId = await startVm(a, await nfsPool(), {
        labels: { tenant: 'blue', note: '<&"' },
        cloudInit: { userData: '#cloud-config\nhostname: moves\n' },
      })
      const before = {
        count: await countsBeyond(a, vmId, 2),
        seed: await seedDigest(a, vmId),
        is: await identity(a, vmId),
      }
      expect(before.seed).not.toBe('')
      const told = await followed(a, await migrate(a, b, vmId))
      expect(told.at(-1)).toMatchObject({ state: 'completed', error: null })
      expect(told.map(({ phase }) => phase)).toEqual(expect.arrayContaining(['preparing', 'transferring']))
      sayDowntime('over NFS', told.at(-1)?.details)
      expect(await both(vmId)).toEqual(MOVED)
      await countsBeyond(b, vmId, before.count + 2)
      expect({ seed: await seedDigest(b, vmId), is: await identity(b, vmId) }).toEqual({
        seed: before.seed,
        is: before.is,
      })
      expect(await traces(a, vmId)).toEqual([])
    },
  )

  describe('with a copy of its disk', () => {
    const directory = `/srv/rig-pools/${randomUUID()}`
    const slowly = { copyStorage: true, bandwidthMibps: 1 }
    let vmId: string
    let count: number
    beforeAll(async () => {
      const poolId = await poolOnBoth(pair, { type: 'LOCAL_DIR', path: directory })
      pools.push(poolId)
      vmId = await startVm(pair.a, poolId)
      count = await countsBeyond(pair.a, vmId, 2)
    }, PATIENCE_MS)

    async function underWay(): Promise<string> {
      const jobId = await migrate(pair.a, pair.b, vmId, slowly)
      await until(async () => {
        const { phase, bytesDone } = await jobOn(pair.a, jobId)
        return phase === 'transferring' && bytesDone > 0
      }, PATIENCE_MS)
      return jobId
    }
    async function expectStayed(): Promise<void> {
      await until(async () => (await stateOn(pair.b, vmId)) === 'absent', PATIENCE_MS)
      expect(await both(vmId)).toEqual(STAYED)
      count = await countsBeyond(pair.a, vmId, count)
      await until(async () => (await traces(pair.b, vmId, directory)).length === 0, PATIENCE_MS)
    }

    test(
      'cancelled: it goes on where it is, and nothing is left at the other host',
      { timeout: PATIENCE_MS },
      async () => {
        const jobId = await underWay()
        expect(await pair.a.http('POST', `/api/v1/jobs/${jobId}/cancel`)).toMatchObject({
          status: 200,
          body: { state: 'cancelled' },
        })
        await expectStayed()
      },
    )

    test('the QEMU at the other host dies: the same', { timeout: PATIENCE_MS }, async () => {
      const jobId = await underWay()
      await pair.b.exec(`pkill -KILL -f 'guest=rig-${vmId.slice(0, 8)}[,]'`)
      expect(await ended(pair.a, jobId)).toMatchObject({ state: 'failed' })
      await expectStayed()
    })

    test('the agent of the other host dies: the same', { timeout: PATIENCE_MS }, async () => {
      const jobId = await underWay()
      await pair.b.exec('systemctl kill --signal=KILL limiquantix-node')
      expect(await ended(pair.a, jobId)).toMatchObject({ state: 'failed' })
      await until(
        () =>
          stateOn(pair.b, vmId).then(
            () => true,
            () => false,
          ),
        PATIENCE_MS,
      )
      await expectStayed()
    })

    test('to the end: it goes on at the other host, with a whole disk', { timeout: PATIENCE_MS }, async () => {
      const { a, b } = pair
      const told = await followed(a, await migrate(a, b, vmId, { copyStorage: true }))
      expect(told.at(-1)).toMatchObject({ state: 'completed', error: null })
      sayDowntime('with its disk', told.at(-1)?.details)
      expect(await both(vmId)).toEqual(MOVED)
      count = await countsBeyond(b, vmId, count + 2)
      expect(await traces(a, vmId, directory)).toEqual([])
    })

    test(
      'and back, while the agent of the host that has it dies: one host has it',
      { timeout: PATIENCE_MS },
      async () => {
        const { a, b } = pair
        const jobId = await migrate(b, a, vmId, { copyStorage: true })
        await b.exec('systemctl kill --signal=KILL limiquantix-node')
        const { state } = await ended(b, jobId)
        const [has, hasNot] = state === 'completed' ? [a, b] : [b, a]
        await until(async () => (await stateOn(hasNot, vmId)) === 'absent', PATIENCE_MS)
        expect(await stateOn(has, vmId)).toBe('RUNNING')
        count = await countsBeyond(has, vmId, count)
        await until(async () => (await traces(hasNot, vmId, directory)).length === 0, PATIENCE_MS)
        // What the disk has is what the guest wrote there, on whichever host.
        expect(await has.http('POST', `/api/v1/vms/${vmId}/stop`, { force: true, timeoutSeconds: 1 })).toMatchObject({
          status: 204,
        })
        const disk = (await has.exec(`find ${directory} -name '*.qcow2'`)).trim()
        const sector = await has.exec(`qemu-io -f qcow2 -r -c 'read -v 512 2' ${disk}`)
        const [, low = '', high = ''] = /: *([0-9a-f]{2}) ([0-9a-f]{2})/.exec(sector) ?? []
        expect(Number(`0x${high}${low}`)).toBeGreaterThanOrEqual(count - 1)
      },
    )
  })

  function sayDowntime(what: string, details: Readonly<Record<string, unknown>> | undefined): void {
    expect(details?.['downtimeMs']).toEqual(expect.any(Number))
    process.stdout.write(
      `migration ${what}: the guest stood still for ${String(details?.['downtimeMs'])} ms by QEMU's account\n`,
    )
  }
})
