import { afterAll, beforeAll, describe } from 'vitest'
import { describePoolBackend } from '../conformance/pool-backend.ts'
import { requirePrerequisite } from '../host/require.ts'
import { useCeph } from './ceph.ts'
import { startRemoteBackends, type RemoteBackends } from './remote-backends.ts'
import { missingRig, useRig } from './use-rig.ts'

describe.skipIf(await requirePrerequisite('rig', missingRig))(
  'CephFS pools on a real cluster and kernel client',
  () => {
    const rig = useRig()
    const ceph = useCeph(rig)
    let backends: RemoteBackends
    beforeAll(async () => {
      backends = await startRemoteBackends(rig)
    })
    afterAll(() => backends.close())

    describePoolBackend('CEPH_FS', async () =>
      backends.fixture('cephfs', { monitors: ceph.monitors, user: 'fs', key: await ceph.keyOf('fs') }),
    )
  },
)
