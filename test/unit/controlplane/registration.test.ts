import { describe, expect, it } from 'vitest'
import { registerNodeRequest } from '../../../src/controlplane/registration.ts'
import { registerNode } from '../../control-plane/schemas.ts'
import { FACTS } from './link-fixture.ts'

describe('registerNodeRequest', () => {
  it('has exactly the keys and types of the contract', () => {
    const request = registerNodeRequest(FACTS, { rack: 'r1' })
    expect(registerNode.parse(JSON.parse(JSON.stringify(request)))).toEqual({
      hostname: 'hv-01',
      managementIp: '127.0.0.1',
      labels: { rack: 'r1' },
      role: { compute: true, storage: false, controlPlane: false },
      cpuInfo: {
        model: 'AMD EPYC 9354P 32-Core Processor',
        sockets: 1,
        coresPerSocket: 32,
        threadsPerCore: 2,
        totalThreads: 64,
        frequencyMhz: 3800,
        features: ['svm', 'avx2'],
      },
      memoryInfo: { totalBytes: 400 * 2 ** 30, allocatableBytes: 400 * 2 ** 30 },
      storageDevices: [
        { path: '/dev/nvme0n1', model: 'SAMSUNG X', serial: 'S1', sizeBytes: 2 ** 41, type: 2 },
        { path: '/dev/sda', model: 'ATA Y', serial: 'S2', sizeBytes: 2 ** 40, type: 1 },
        { path: '/dev/sdb', model: 'Z', serial: 'S3', sizeBytes: 2 ** 40, type: 0 },
      ],
      networkDevices: [
        {
          name: 'eno1',
          macAddress: '52:54:00:00:00:01',
          driver: 'mlx5_core',
          speedMbps: 25_000,
          mtu: 9000,
          numaNode: 0,
          sriovCapable: true,
          sriovVfsTotal: 8,
          sriovVfsUsed: 2,
        },
      ],
    })
  })

  it('refuses to register a host that cannot be called back', () => {
    expect(() => registerNodeRequest({ ...FACTS, managementIp: '' }, {})).toThrow(
      expect.objectContaining({ reason: 'CONFIG_INVALID', message: expect.stringContaining('node.management_ip') }),
    )
  })
})
