import { defineConfig } from 'vitest/config'

/** Files of the host tier with faults that a cluster takes minutes to notice and to forget. */
const SLOW_HOST_FAULTS = ['test/host/images/rbd-full.test.ts']
/** Files that kill something at many moments, or have faults of a minute among others: the host tier leaves most of these out (test/host/moments.ts). */
const HOST_MOMENTS = [
  'test/host/domains/{backup,disk,layer,migration,migration-off,move,snapshot}-faults.test.ts',
  'test/host/domains/{migration-post-copy,migration-snapshots,two-hosts-ceph}.test.ts',
  'test/host/{agent/agent,images/killed-downloads}.test.ts',
]
/** Files of the rig with faults that take minutes each to come and go, or need whole guests, or strace, which slows everything down. */
const RIG_FAULTS = ['test/rig/{cephfs,iscsi,lvm}-faults.test.ts', 'test/rig/{nfs-outage,nfs-traced,vm-disks}.test.ts']
/** Files of which the rig tier leaves out what takes minutes and is shown elsewhere too (test/host/moments.ts). */
const RIG_MOMENTS = ['test/rig/{iscsi-conformance,nfs-faults,service}.test.ts']
/** Files that need two hosts of their own, which takes minutes and all of the machine: run by name only. */
const RIG_PAIR = ['test/rig/migration.test.ts']
/** For test/host/moments.ts. */
const EVERY_MOMENT = { LIMIQUANTIX_EVERY_MOMENT: '1' }
const onHost = {
  testTimeout: 120_000,
  hookTimeout: 120_000,
  fileParallelism: false,
  globalSetup: ['test/host/global-setup.ts', 'test/host/ceph-setup.ts'],
}
const onRig = {
  testTimeout: 180_000,
  hookTimeout: 180_000,
  fileParallelism: false,
  globalSetup: ['test/rig/global-setup.ts'],
}

// Tiers: `unit` needs nothing but Node; `host` needs libvirtd, QEMU, Ceph and the host tools that scripts/test installs; `rig` and `rig-faults` are a
// whole emulated host with real storage servers (docs/rig.md).
export default defineConfig({
  // Not below node_modules: `npm ci` may replace that while a test runs.
  cacheDir: '.cache/vitest',
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'host', include: ['test/host/**/*.test.ts'], exclude: SLOW_HOST_FAULTS, ...onHost } },
      {
        test: {
          name: 'host-faults',
          include: [...SLOW_HOST_FAULTS, ...HOST_MOMENTS],
          env: EVERY_MOMENT,
          ...onHost,
        },
      },
      { test: { name: 'rig', include: ['test/rig/**/*.test.ts'], exclude: [...RIG_FAULTS, ...RIG_PAIR], ...onRig } },
      { test: { name: 'rig-faults', include: [...RIG_FAULTS, ...RIG_MOMENTS], env: EVERY_MOMENT, ...onRig } },
      {
        test: {
          name: 'rig-pair',
          include: RIG_PAIR,
          testTimeout: 600_000,
          hookTimeout: 1_200_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
