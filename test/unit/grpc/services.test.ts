import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import type { DownloadProgress__Output } from '../../../src/grpc/gen/limiquantix/node/v1/DownloadProgress.ts'
import type { NodeEvent__Output } from '../../../src/grpc/gen/limiquantix/node/v1/NodeEvent.ts'
import { ask, failure, startRig, type Rig } from './client.ts'
import { NOW, VM_ID } from './fake-services.ts'

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

  test('ListStoragePoolFiles echoes the path and gives RFC 3339 times', async () => {
    expect(await ask(rig.client, rig.client.ListStoragePoolFiles, { poolId: 'pool-1', path: 'sub/dir' })).toEqual({
      currentPath: 'sub/dir',
      entries: [
        expect.objectContaining({ name: 'iso', isDirectory: true, sizeBytes: 0, fileType: 'directory' }),
        expect.objectContaining({ sizeBytes: 77, modifiedAt: new Date(NOW).toISOString(), permissions: '644' }),
      ],
    })
  })

  test('StreamEvents', async () => {
    const stream = rig.client.StreamEvents({})
    const event = await new Promise<NodeEvent__Output>((resolve) => stream.once('data', resolve))
    stream.on('error', () => undefined)
    stream.cancel()
    expect(event).toMatchObject({ id: 'e1', type: 1, vmId: VM_ID, timestamp: TIME, metadata: { cause: 'request' } })
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

  test('what is not built says so', async () => {
    const error = await failure(ask(rig.client, rig.client.GetConsole, { vmId: VM_ID }))
    expect(error).toMatchObject({ code: status.UNIMPLEMENTED, details: expect.stringContaining('GetConsole') })
    const stream = rig.client.StreamMetrics({ intervalSeconds: 1 })
    const streamed = await new Promise<{ code: number }>((resolve) => {
      stream.on('error', (e) => resolve(e as unknown as { code: number }))
      stream.resume()
    })
    expect(streamed.code).toBe(status.UNIMPLEMENTED)
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
    await using own = await startRig({ pools: { files: async () => Array.from({ length: count }, (_, i) => file(i)) } })
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
