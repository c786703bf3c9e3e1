import { beforeAll, describe, inject } from 'vitest'
import { describePoolBackend } from '../../conformance/pool-backend.ts'
import { missingCeph, startCeph, type CephCluster } from '../ceph.ts'
import { requirePrerequisite } from '../require.ts'
import { rbdFixture } from './rbd-fixture.ts'

describe.skipIf(await requirePrerequisite('ceph', missingCeph))('Ceph RBD, real cluster and tools', () => {
  let cluster: CephCluster
  beforeAll(async () => {
    cluster = await startCeph(inject('cephDir'))
  })

  describePoolBackend('CEPH_RBD', () => rbdFixture(cluster))
})
