import { describe } from 'vitest'
import { describePoolBackend } from '../../conformance/pool-backend.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { localFixture } from './local-fixture.ts'

const missing = await requirePrerequisite(
  'local-pool',
  async () => missingRoot() ?? (await missingCommand('qemu-img', 'mount', 'umount')()),
)

describe.skipIf(missing !== undefined)('local directory, real qemu-img and mounts', () => {
  describePoolBackend('LOCAL_DIR', localFixture)
})
