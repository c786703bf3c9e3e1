import { defineConfig } from 'vitest/config'

// Three tiers: `unit` needs nothing but Node; `host` needs libvirtd, QEMU and the host tools that scripts/test installs; `rig` is a
// whole emulated host with real storage servers (docs/rig.md).
export default defineConfig({
  // Not below node_modules: `npm ci` may replace that while a test runs.
  cacheDir: '.cache/vitest',
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      {
        test: {
          name: 'host',
          include: ['test/host/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          globalSetup: ['test/host/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'rig',
          include: ['test/rig/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          globalSetup: ['test/rig/global-setup.ts'],
        },
      },
    ],
  },
})
