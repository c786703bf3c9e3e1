import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { createControlPlaneLink, type ControlPlaneLink, type LinkOptions } from '../../../src/controlplane/link.ts'
import type { Pace } from '../../../src/controlplane/pace.ts'
import { createRegistrar } from '../../../src/controlplane/registration.ts'
import { silentLogger } from '../../../src/core/context.ts'
import type { HostLoad, PoolHealth, PoolInfo } from '../../../src/core/model.ts'
import type { HostDetails } from '../../../src/host/inventory.ts'
import { createConnectClient } from '../../../src/platform/connect-client.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { FakePace } from './fake-pace.ts'

export const FACTS: HostDetails = {
  hostname: 'hv-01',
  managementIp: '127.0.0.1',
  osName: 'Debian GNU/Linux',
  osVersion: '12 (bookworm)',
  kernelVersion: '6.1.0-28-amd64',
  cpu: {
    model: 'AMD EPYC 9354P 32-Core Processor',
    vendor: 'AuthenticAMD',
    sockets: 1,
    coresPerSocket: 32,
    threadsPerCore: 2,
    totalThreads: 64,
    frequencyMhz: 3800,
    features: ['svm', 'avx2'],
    architecture: 'x86_64',
  },
  memory: {
    totalBytes: 400 * 2 ** 30,
    availableBytes: 300 * 2 ** 30,
    usedBytes: 100 * 2 ** 30,
    swapTotalBytes: 0,
    swapUsedBytes: 0,
  },
  filesystems: [],
  nics: [
    {
      name: 'eno1',
      macAddress: '52:54:00:00:00:01',
      ipAddresses: ['127.0.0.1'],
      speedMbps: 25_000,
      up: true,
      driver: 'mlx5_core',
      mtu: 9000,
      physical: true,
      numaNode: undefined,
      sriovVfsTotal: 8,
      sriovVfsUsed: 2,
    },
  ],
  blockDevices: [
    { path: '/dev/nvme0n1', model: 'SAMSUNG X', serial: 'S1', sizeBytes: 2 ** 41, type: 'NVME', removable: false },
    { path: '/dev/sda', model: 'ATA Y', serial: 'S2', sizeBytes: 2 ** 40, type: 'SSD', removable: false },
    { path: '/dev/sdb', model: 'Z', serial: 'S3', sizeBytes: 2 ** 40, type: 'HDD', removable: false },
    { path: '/dev/sdc', model: 'Stick', serial: 'S4', sizeBytes: 2 ** 33, type: 'SSD', removable: true },
  ],
}

export const LOAD: HostLoad = {
  observedAt: 1,
  cpuUsagePercent: 12.3456,
  memoryUsedBytes: 100 * 2 ** 30 + 5,
  memoryTotalBytes: 400 * 2 ** 30,
  load1: 1.5,
  load5: 1.25,
  load15: 1,
}

export function pool(poolId: string, health: PoolHealth, observation: Partial<PoolInfo['observation']> = {}): PoolInfo {
  return {
    config: { poolId, kind: 'LOCAL_DIR', options: {} },
    mountPath: `/srv/${poolId}`,
    devicePath: '',
    rbdPool: '',
    observation: {
      health,
      reason: health === 'HEALTHY' ? 'OK' : 'POOL_UNAVAILABLE',
      message: '',
      totalBytes: 1000,
      usedBytes: 400,
      availableBytes: 600,
      volumeCount: 3,
      observedAt: 1,
      probeLatencyMs: 1,
      ...observation,
    },
  }
}

export interface TestLink {
  readonly link: ControlPlaneLink
  readonly pace: FakePace
}

export type LinkChanges = Partial<Omit<LinkOptions, 'client' | 'registrar' | 'pace'>> & { readonly facts?: HostDetails }

/** Makes links whose state and connections are gone at `dispose`. */
export async function linkFixture() {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'lqx-link-'))
  const links: ControlPlaneLink[] = []
  return {
    directory,
    /** A started link with a clock of its own; links share the state directory, so a second one is a restarted agent. */
    start(url: string, changes: LinkChanges = {}, clock?: Pace): TestLink {
      const pace = new FakePace()
      const client = createConnectClient({ baseUrl: url })
      const registrar = createRegistrar({
        client,
        store: openStateStore(directory, silentLogger),
        facts: () => Promise.resolve(changes.facts ?? FACTS),
        labels: { rack: 'r1' },
      })
      const link = createControlPlaneLink({
        client,
        registrar,
        pace: clock ?? pace,
        source: { load: () => LOAD, pools: () => [], runningVmCount: () => 0 },
        intervalMs: 30_000,
        log: silentLogger,
        ...changes,
      })
      links.push(link)
      link.start()
      return { link, pace }
    },
    async dispose() {
      for (const link of links) await link.stop()
      await rm(directory, { recursive: true })
    },
  }
}
