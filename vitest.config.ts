import { defineConfig } from 'vitest/config'

// Two tiers: `unit` needs nothing but Node; `host` needs libvirtd, QEMU and the host tools that scripts/test installs.
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
    ],
  },
})
