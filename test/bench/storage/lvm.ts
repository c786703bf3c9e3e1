import { installGuestProgram } from '../../rig/guest-program.ts'
import { benchRig, missingBenchRig } from './bench-rig.ts'
import type { StorageSection } from './section.ts'

/** A disk of the rig's host that is there for tests. */
const DISK = '/dev/disk/by-id/virtio-data1'
const TIMEOUT_MS = 600_000

/** A thin volume made and deleted by the volume manager beside bare LVM commands, on the rig: its own, or the one that is up in LIMIQUANTIX_TEST_RIG_DIR. */
export const lvm: StorageSection = {
  name: 'lvm',
  missing: missingBenchRig,
  async run({ directory }) {
    await using cleanup = new AsyncDisposableStack()
    const rig = await benchRig(directory, cleanup)
    const program = await installGuestProgram(rig, 'lvm-volumes')
    process.stdout.write(await rig.exec(`node ${program} ${DISK}`, { timeoutMs: TIMEOUT_MS }))
  },
}
