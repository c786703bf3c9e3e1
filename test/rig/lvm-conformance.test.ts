import { afterAll, beforeAll, describe } from 'vitest'
import { describePoolBackend } from '../conformance/pool-backend.ts'
import { requirePrerequisite } from '../host/require.ts'
import { startRemoteBackends, type RemoteBackends } from './remote-backends.ts'
import { missingRig, useRig } from './use-rig.ts'

describe.skipIf(await requirePrerequisite('rig', missingRig))('LVM pools in thin pools of a real kernel', () => {
  const rig = useRig()
  let backends: RemoteBackends
  beforeAll(async () => {
    backends = await startRemoteBackends(rig)
  })
  afterAll(() => backends.close())

  describePoolBackend('LOCAL_LVM', () => backends.fixture('lvm', {}))
})
