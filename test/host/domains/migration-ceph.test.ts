import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { until } from '../../support/until.ts'
import { missingCeph, startCeph, type CephCluster } from '../ceph.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, newDisk, POOL, waitForBoot, within } from './agent-fixture.ts'
import { echoes, migrate, migrationTo, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'

const missing =
  (await requirePrerequisite('ceph', missingCeph)) ?? (await requirePrerequisite('libvirt', missingLibvirt))

describe.skipIf(missing !== undefined)('a VM with a Ceph image that moves to another host', () => {
  /** Its key is with libvirt under a name made of this. */
  const poolId = `rbd-${randomUUID().slice(0, 8)}`
  const place = `moves-${randomUUID().slice(0, 8)}`
  let ceph: CephCluster
  let pair: MigrationPair
  beforeAll(async () => {
    ceph = await startCeph(inject('cephDir'))
    await ceph.admin('ceph', 'osd', 'pool', 'create', place, '8')
    await ceph.admin('rbd', 'pool', 'init', place)
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
    for (const host of [await pair.host('a'), await pair.host('b')]) {
      const options = {
        monitors: [`${ceph.address}:6789`],
        poolName: place,
        user: 'admin',
        keyringPath: ceph.keyring('admin'),
      }
      await host.pools.init({ poolId, kind: 'CEPH_RBD', options }, context())
    }
  }, 240_000)
  afterAll(() => pair.down())

  const lease = async (vmId: string) => {
    const words = ['--no-mon-config', '--pool', place, 'lock', 'info', `limiquantix.lease.${vmId}`, 'guest']
    const text = await ceph.admin('rados', ...words, '--format', 'json').catch(() => '{"lockers":[]}')
    const [locker] = (JSON.parse(text) as { lockers: { description: string }[] }).lockers
    return locker === undefined ? undefined : (JSON.parse(locker.description) as { holder: string; phase: string })
  }
  const isHeld = (vmId: string, holder: string, phase: string) =>
    until(async () => {
      const found = await lease(vmId)
      return found?.holder === holder && found.phase === phase
    })
  const off = async () => {
    const a = await pair.host('a')
    const image = `${a.base}/images/boot.qcow2`
    const disk = newDisk({ poolId, sizeBytes: 4 * 1024 * 1024, format: 'raw', bootable: true, backingFile: image })
    const vmId = await pair.off('a', POOL, { disks: [disk] })
    return { vmId, a, b: await pair.host('b') }
  }

  test('running: both have the image open meanwhile, and its lease goes along', async () => {
    const { vmId, a, b } = await off()
    await a.vms.start(vmId, within())
    await waitForBoot(a, vmId)
    await isHeld(vmId, 'host-a', 'running')
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    expect(await echoes(b, vmId, 'x')).toBe(true)
    await isHeld(vmId, 'host-b', 'running')
    await migrate(b, migrationTo(a, vmId))
    expect(await echoes(a, vmId, 'y')).toBe(true)
    await isHeld(vmId, 'host-a', 'running')
    await a.vms.delete(vmId, within())
    expect(await lease(vmId)).toBeUndefined()
  })

  test('off: it is held until it is there, and starts there', async () => {
    const { vmId, a, b } = await off()
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'STOPPED'])
    expect(await lease(vmId)).toBeUndefined()
    await b.vms.start(vmId, within())
    await isHeld(vmId, 'host-b', 'running')
    await b.vms.delete(vmId, within())
  })
})
