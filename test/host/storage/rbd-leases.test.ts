import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { cephRbdPools } from '../../../src/storage/backends/ceph-rbd.ts'
import { describeLeasePlace } from '../../conformance/lease-place.ts'
import { missingCeph, startCeph } from '../ceph.ts'
import { requirePrerequisite } from '../require.ts'
import { rbdFixture, type RbdFixture } from './rbd-fixture.ts'

describe.skipIf(await requirePrerequisite('ceph', missingCeph))('leases in a Ceph pool', () => {
  let fixture: RbdFixture
  const context = () => ({ signal: AbortSignal.timeout(100_000), log: silentLogger })
  beforeAll(async () => {
    fixture = await rbdFixture(await startCeph(inject('cephDir')))
  })
  afterAll(() => fixture.close())

  const backendOf = async (change: Record<string, unknown> = {}) => {
    const backend = cephRbdPools(fixture.environment).create(fixture.configWith(change))
    await backend.activate({ mode: 'initialise' }, context())
    return backend
  }
  describeLeasePlace(async () => {
    const { leases } = await backendOf()
    if (leases === undefined) throw new Error('the pool has no place for leases')
    return leases
  })

  test('an image that nobody has open, or that is not there, has no writer; one without exclusive-lock is a blind spot', async () => {
    const backend = await backendOf()
    const spec = { name: 'disk', format: 'raw', sizeBytes: 2 ** 20, content: { type: 'empty' }, owner: 'vm:1' } as const
    await backend.createVolume(spec, context())
    const disks = ['disk', 'none'].map((id) => {
      return { id, place: `rbd:${fixture.image(id)}`, format: 'raw', readonly: false }
    })
    expect(await backend.leases?.findWriter(disks, 5_000, context())).toBeUndefined()
    expect(await backend.leases?.blindSpot(disks, context())).toBeUndefined()
    const cluster = await startCeph(inject('cephDir'))
    const features = ['fast-diff', 'object-map', 'exclusive-lock']
    await cluster.admin('rbd', 'feature', 'disable', fixture.image('disk'), ...features)
    expect(await backend.leases?.blindSpot(disks, context())).toContain('its disk disk has no exclusive-lock')
  })
})
