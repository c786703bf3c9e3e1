import { StoragePoolFileOrder } from '../../../src/grpc/gen/limiquantix/node/v1/StoragePoolFileOrder.ts'
import { Metadata, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { MigrationPhase } from '../../../src/grpc/gen/limiquantix/node/v1/MigrationPhase.ts'
import type { MigrationProgress__Output } from '../../../src/grpc/gen/limiquantix/node/v1/MigrationProgress.ts'
import type { DownloadProgress__Output } from '../../../src/grpc/gen/limiquantix/node/v1/DownloadProgress.ts'
import type { NodeEvent__Output } from '../../../src/grpc/gen/limiquantix/node/v1/NodeEvent.ts'
import { ask, failure, startRig, type Rig } from './client.ts'
import { NOW, oneBatch, vmEvent, VM_ID } from './fake-services.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const TIME = { seconds: 1_700_000_000, nanos: 123_000_000 }

describe('answers', () => {
  test('HealthCheck', async () => {
    expect(await ask(rig.client, rig.client.HealthCheck, {})).toEqual({
      healthy: true,
      version: '0.1.0',
      hypervisor: 'libvirt/QEMU',
      hypervisorVersion: '9.0.0',
      uptimeSeconds: 12,
    })
  })

  test('GetNodeInfo', async () => {
    const info = await ask(rig.client, rig.client.GetNodeInfo, {})
    expect(info).toMatchObject({
      hostname: 'host-1',
      managementIp: '192.0.2.1',
      cpu: { totalThreads: 4, frequencyMhz: 2400, features: ['sse2'], architecture: 'x86_64' },
      memory: { totalBytes: 8000, availableBytes: 6000 },
      storage: [{ mountPoint: '/', filesystem: 'ext4' }],
      network: [{ name: 'eth0', ipAddresses: ['192.0.2.1'], up: true }],
      capabilities: { maxVcpus: 288, kvm: false, connected: true, supportsHotplug: false },
    })
  })

  test('GetVMStatus and ListVMs', async () => {
    const vm = await ask(rig.client, rig.client.GetVMStatus, { vmId: VM_ID.toUpperCase() })
    expect(vm).toMatchObject({
      vmId: VM_ID,
      name: 'web-1',
      state: 1,
      startedAt: TIME,
      resourceUsage: { cpuUsagePercent: 12.5, cpuTimeNs: 123, networkTxBytes: 4, observedAt: TIME },
      labels: { env: 'test' },
      disks: [{ id: 'root', targetDev: 'vda', bootable: true }],
    })
    const list = await ask(rig.client, rig.client.ListVMs, {})
    expect((list as { vms: unknown[] }).vms).toEqual([vm])
  })

  test.each([
    ['StartVM', 'start'],
    ['ForceStopVM', 'forceStop'],
    ['RebootVM', 'reboot'],
    ['PauseVM', 'pause'],
    ['ResumeVM', 'resume'],
    ['DeleteVM', 'delete'],
  ] as const)('%s', async (rpc, method) => {
    expect(await ask(rig.client, rig.client[rpc], { vmId: VM_ID })).toEqual({})
    expect(rig.services.calls).toEqual([{ method, args: [VM_ID] }])
  })

  test.each([
    [30, 30],
    [0, 30],
    [600, 600],
  ])('StopVM with timeout %i waits %i s', async (timeoutSeconds, expected) => {
    await ask(rig.client, rig.client.StopVM, { vmId: VM_ID, timeoutSeconds })
    expect(rig.services.calls).toEqual([{ method: 'stop', args: [VM_ID, expected] }])
  })

  test('pools', async () => {
    const pool = await ask(rig.client, rig.client.GetStoragePoolInfo, { poolId: 'pool-1' })
    expect(pool).toMatchObject({
      poolId: 'pool-1',
      type: 1,
      mountPath: '/pool',
      totalBytes: 1000,
      availableBytes: 10,
      usedBytes: 990,
      volumeCount: 3,
      health: 2,
      healthReason: 'POOL_FULL',
      message: '1 % free',
      observedAt: TIME,
    })
    expect(await ask(rig.client, rig.client.ListStoragePools, {})).toEqual({ pools: [pool] })
    expect(await ask(rig.client, rig.client.DestroyStoragePool, { poolId: 'pool-1' })).toEqual({})
  })

  test('volumes', async () => {
    const place = { poolId: 'pool-1', volumeId: 'data' }
    const { client } = rig
    for (const [sourceType, type] of [
      [0, 'empty'],
      [1, 'volume'],
      [2, 'image'],
      [3, 'snapshot'],
    ] as const) {
      const sourceId = type === 'empty' ? '' : 'base@monday'
      expect(await ask(client, client.CreateVolume, { ...place, sizeBytes: 1024, sourceType, sourceId })).toEqual({})
      expect(rig.services.calls.pop()).toEqual({
        method: 'createVolume',
        args: [{ ...place, sizeBytes: 1024, origin: { type, ...(type === 'empty' ? {} : { id: sourceId }) } }],
      })
    }
    const unnamed = await failure(ask(client, client.CreateVolume, { ...place, sizeBytes: 1024, sourceType: 2 }))
    expect(unnamed).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining('source_id') })
    await ask(client, client.CloneVolume, { poolId: 'pool-1', sourceVolumeId: 'data', destVolumeId: 'copy' })
    await ask(client, client.ResizeVolume, { poolId: 'default', volumeId: 'disk0', newSizeBytes: 2048 })
    await ask(client, client.CreateVolumeSnapshot, { ...place, snapshotId: 'monday' })
    await ask(client, client.DeleteVolume, place)
    expect(await ask(client, client.GetVolumeAttachInfo, place)).toEqual({
      volumeId: 'data',
      path: '/pool/data.qcow2',
      diskXml: '<disk/>',
    })
    expect(rig.services.calls).toEqual([
      {
        method: 'createVolume',
        args: [{ poolId: 'pool-1', volumeId: 'copy', sizeBytes: 0, origin: { type: 'volume', id: 'data' } }],
      },
      { method: 'resizeVolume', args: ['default', 'disk0', 2048] },
      { method: 'createSnapshot', args: ['pool-1', 'data', 'monday'] },
      { method: 'deleteVolume', args: ['pool-1', 'data'] },
      { method: 'attachInfo', args: ['pool-1', 'data'] },
    ])
  })

  test('ListStoragePoolFiles echoes the path and gives RFC 3339 times', async () => {
    expect(await ask(rig.client, rig.client.ListStoragePoolFiles, { poolId: 'pool-1', path: 'sub/dir' })).toEqual({
      currentPath: 'sub/dir',
      entries: [
        expect.objectContaining({ name: 'iso', isDirectory: true, sizeBytes: 0, fileType: 'directory' }),
        expect.objectContaining({ sizeBytes: 77, modifiedAt: new Date(NOW).toISOString(), permissions: '644' }),
      ],
      total: 0,
    })
  })

  test('ListStoragePoolFiles gives a part in another order when asked to, with the number of all', async () => {
    const order = StoragePoolFileOrder.STORAGE_POOL_FILE_ORDER_MTIME
    const asked = { poolId: 'pool-1', path: '', offset: 1, limit: 1, order, descending: true }
    expect(await ask(rig.client, rig.client.ListStoragePoolFiles, asked)).toMatchObject({
      entries: [{ name: 'a.qcow2' }],
      total: 2,
    })
    expect(rig.services.calls.at(-1)?.args[1]).toEqual({
      path: '',
      offset: 1,
      limit: 1,
      order: 'mtime',
      descending: true,
      form: 'proto',
    })
    const unknown = await failure(
      ask(rig.client, rig.client.ListStoragePoolFiles, { poolId: 'pool-1', order: 9 as never }),
    )
    expect(unknown).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringMatching(/^order: /) })
  })

  test('StreamEvents', async () => {
    const stream = rig.client.StreamEvents({})
    const event = await new Promise<NodeEvent__Output>((resolve) => stream.once('data', resolve))
    stream.on('error', () => undefined)
    stream.cancel()
    expect(event).toMatchObject({ id: 'e1', type: 1, vmId: VM_ID, timestamp: TIME, metadata: { cause: 'request' } })
  })

  test.each([
    ['4711', 4711],
    ['nonsense', undefined],
  ])('StreamEvents with last-event-id %s; kinds without a number are UNKNOWN and named', async (given, expected) => {
    let asked: number | undefined = -1
    await using own = await startRig({
      events: {
        read: async function* (_signal, after) {
          asked = after
          yield { ...vmEvent, type: 'IO_ERROR' }
        },
      },
    })
    const metadata = new Metadata()
    metadata.set('last-event-id', given)
    const stream = own.client.StreamEvents({}, metadata)
    const event = await new Promise<NodeEvent__Output>((resolve) => stream.once('data', resolve))
    stream.on('error', () => undefined)
    stream.cancel()
    expect(asked).toBe(expected)
    expect(event).toMatchObject({ type: 0, metadata: { event: 'IO_ERROR', level: 'error', category: 'storage' } })
  })

  test('StreamMetrics: one message at once, more at the interval', async () => {
    const stream = rig.client.StreamMetrics({ intervalSeconds: 1 })
    stream.on('error', () => undefined)
    const seen: unknown[] = []
    await new Promise<void>((resolve) => stream.on('data', (one) => seen.push(one) === 2 && resolve()))
    stream.cancel()
    expect(seen[0]).toMatchObject({
      cpuUsagePercent: 3.5,
      memoryUsedBytes: 5,
      memoryTotalBytes: 9,
      disks: [{ device: 'sda', readBytes: 4096, readIops: 2, writeIops: 3, utilizationPercent: 12.5 }],
      networks: [{ interface: 'eth0', rxBytes: 1, txErrors: 6 }],
      vms: [{ vmId: VM_ID, cpuUsagePercent: 12.5, memoryUsedBytes: 100, diskReadBytes: 1, networkTxBytes: 4 }],
    })
  })

  test('StreamMetrics ends with the reason while libvirt is away, rather than to tell of no VMs', async () => {
    const away = () => Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'no connection to libvirt'))
    await using own = await startRig({ vms: { metrics: away } })
    const stream = own.client.StreamMetrics({})
    const error = await new Promise<unknown>((resolve) => stream.on('error', resolve).resume())
    expect(error).toMatchObject({ code: status.UNAVAILABLE, details: 'no connection to libvirt' })
  })

  test('DownloadImage streams until the job is final; the other download methods', async () => {
    const seen: DownloadProgress__Output[] = []
    const request = { url: 'https://example.org/i.qcow2', targetDir: '/pool/cloud-images', checksum: 'ab' }
    for await (const progress of rig.client.DownloadImage(request)) seen.push(progress as DownloadProgress__Output)
    expect(seen.map((p) => [p.status, p.progressPercent, p.bytesDownloaded])).toEqual([
      [2, 41, 419],
      [5, 100, 1000],
    ])
    expect(rig.services.calls[0]?.args).toEqual([
      { imageId: '', catalogId: '', filename: '', poolId: '', checksumType: '', ...request },
    ])
    expect(await ask(rig.client, rig.client.GetDownloadStatus, { jobId: 'job-1' })).toMatchObject({
      path: '/pool/cloud-images/debian-12.qcow2',
      downloadSpeed: 10,
      etaSeconds: 58,
    })
    expect(await ask(rig.client, rig.client.CancelDownload, { jobId: 'job-1' })).toEqual({})
    expect(await ask(rig.client, rig.client.ListDownloads, {})).toMatchObject({ jobs: [{ jobId: 'job-1' }] })
    expect((await failure(ask(rig.client, rig.client.GetDownloadStatus, { jobId: 'job-2' }))).code).toBe(
      status.NOT_FOUND,
    )
  })

  test('migrations: permission at the target, progress at the source', async () => {
    const token = await ask(rig.client, rig.client.PrepareMigration, { vmId: VM_ID })
    expect(token).toMatchObject({ token: 'token', vmId: VM_ID })
    expect(await ask(rig.client, rig.client.ReceiveMigration, { token: 'token', vmId: VM_ID })).toEqual({})
    const phases: unknown[] = []
    const request = { vmId: VM_ID, targetNodeUri: '192.0.2.2:9090', live: true, storage: true }
    for await (const progress of rig.client.MigrateVM(request)) {
      const { phase, percentComplete } = progress as MigrationProgress__Output
      phases.push([phase, percentComplete])
    }
    expect(phases).toEqual([
      [MigrationPhase.MIGRATION_PHASE_TRANSFERRING, 50],
      [MigrationPhase.MIGRATION_PHASE_COMPLETE, 100],
    ])
    expect(rig.services.calls).toContainEqual({
      method: 'startMigration',
      args: [{ vmId: VM_ID, target: '192.0.2.2:9090', live: true, copyStorage: true, options: {} }],
    })
  })

  test('network ports: limits as the guest sees them, and what of them needs OVN', async () => {
    const request = {
      portId: 'port-1',
      vmId: VM_ID,
      networkId: 'net-1',
      macAddress: '52:54:00:aa:bb:01',
      ovnPortName: 'lsp',
      qos: { ingressRateKbps: 1, egressRateKbps: 2, ingressBurstKb: 3, egressBurstKb: 4 },
    }
    const info = await ask(rig.client, rig.client.ConfigureNetworkPort, { ...request, securityGroupIds: ['sg'] })
    expect(info).toMatchObject({ portId: 'port-1', phase: 3, ovsPortName: 'vnet0', interfaceXml: '<interface/>' })
    expect(info).toMatchObject({ rxBytes: 1, txBytes: 2, rxPackets: 3, txPackets: 4 })
    const { qos: _, ...rest } = request
    const rates = { ingressKbps: 1, egressKbps: 2, ingressBurstKb: 3, egressBurstKb: 4 }
    const wish = { ...rest, ipAddresses: [], rates, isSecured: true }
    expect(rig.services.calls).toContainEqual({ method: 'configurePort', args: [wish] })
    expect((await ask(rig.client, rig.client.ListNetworkPorts, {})).ports).toHaveLength(1)
    expect(await ask(rig.client, rig.client.GetOVSStatus, {})).toMatchObject({ available: true, chassisId: 'host-1' })
  })

  test('requests are counted by method and status', async () => {
    await ask(rig.client, rig.client.ListVMs, {})
    await failure(ask(rig.client, rig.client.StartVM, { vmId: 'x' }))
    expect([...rig.stats.entries()].map((s) => [s.method, s.code, s.count])).toEqual([
      ['ListVMs', 'OK', 1],
      ['StartVM', 'INVALID_ARGUMENT', 1],
    ])
  })
})

describe('listing size', () => {
  const file = (index: number) => ({
    name: `${'n'.repeat(180)}${index}`,
    path: `${'n'.repeat(180)}${index}`,
    isDirectory: false,
    sizeBytes: 2 ** 40,
    modifiedAt: NOW,
    fileType: 'qcow2',
    permissions: '644',
  })
  const listing = async (count: number) => {
    await using own = await startRig({
      pools: {
        files: () =>
          oneBatch(
            count,
            Array.from({ length: count }, (_, i) => file(i)),
            'proto',
          ),
      },
    })
    return await ask(own.client, own.client.ListStoragePoolFiles, { poolId: 'p', path: '' })
  }

  test('an answer that a receiver with the usual 4 MiB limit takes is given', async () => {
    expect((await listing(9_000)) as { entries: unknown[] }).toMatchObject({ entries: { length: 9_000 } })
  })

  test('one entry set that it would refuse is LISTING_TOO_LARGE', async () => {
    const error = await failure(listing(10_000))
    expect(error.metadata.get('limiquantix-reason')).toEqual(['LISTING_TOO_LARGE'])
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED)
  })
})

test('an error of the service arrives with its own code', async () => {
  await using own = await startRig({
    vms: { start: () => Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'no connection to libvirt')) },
  })
  const error = await failure(ask(own.client, own.client.StartVM, { vmId: VM_ID }))
  expect(error).toMatchObject({ code: status.UNAVAILABLE, details: 'no connection to libvirt' })
})
