import { afterAll, beforeAll, describe } from 'vitest'
import { describePoolBackend } from '../conformance/pool-backend.ts'
import { requirePrerequisite } from '../host/require.ts'
import { startRemoteBackends, type RemoteBackends } from './remote-backends.ts'
import { missingRig, useRig } from './use-rig.ts'

describe.skipIf(await requirePrerequisite('rig', missingRig))('NFS pools on a real server and kernel client', () => {
  const rig = useRig()
  let backends: RemoteBackends
  beforeAll(async () => {
    backends = await startRemoteBackends(rig)
  })
  afterAll(() => backends.close())

  describePoolBackend('NFS', () => backends.fixture('nfs', {}))
})
