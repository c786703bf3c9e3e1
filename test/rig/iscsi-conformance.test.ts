import { afterAll, beforeAll, describe } from 'vitest'
import { describePoolBackend } from '../conformance/pool-backend.ts'
import { everyMoment } from '../host/moments.ts'
import { requirePrerequisite } from '../host/require.ts'
import { blankLuns, clearInitiator } from './iscsi-server.ts'
import { startRemoteBackends, type RemoteBackends } from './remote-backends.ts'
import { missingRig, useRig } from './use-rig.ts'

describe.skipIf(await requirePrerequisite('rig', missingRig))('iSCSI pools on a real target and kernel', () => {
  const rig = useRig()
  let backends: RemoteBackends
  const clear = async () => {
    await clearInitiator(rig)
    await blankLuns(rig)
  }
  beforeAll(async () => {
    await clear()
    backends = await startRemoteBackends(rig)
  })
  afterAll(async () => {
    await backends.close()
    await clear()
  })

  // What is in the group on the LUN is made by the same code, and takes as long, as in an LVM pool.
  describePoolBackend('ISCSI', () => backends.fixture('iscsi', {}), { volumes: everyMoment })
})
