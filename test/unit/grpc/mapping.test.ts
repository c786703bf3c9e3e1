import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { CreateVmRequest } from '../../../src/core/model.ts'
import type { CreateVMOnNodeRequest } from '../../../src/grpc/gen/limiquantix/node/v1/CreateVMOnNodeRequest.ts'
import type { DiskSpec } from '../../../src/grpc/gen/limiquantix/node/v1/DiskSpec.ts'
import type { InitStoragePoolRequest } from '../../../src/grpc/gen/limiquantix/node/v1/InitStoragePoolRequest.ts'
import type { VMSpec } from '../../../src/grpc/gen/limiquantix/node/v1/VMSpec.ts'
import { ask, failure, startRig, type Rig } from './client.ts'
import { VM_ID } from './fake-services.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
})
beforeEach(() => {
  rig.services.calls.length = 0
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
})

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const SPEC: VMSpec = { cpuCores: 2, memoryMib: 512 }

/** What the service is asked for a CreateVM message. */
async function created(spec: VMSpec, rest: CreateVMOnNodeRequest = {}): Promise<CreateVmRequest> {
  await ask(rig.client, rig.client.CreateVM, { vmId: VM_ID, name: 'web', spec: { ...SPEC, ...spec }, ...rest })
  return rig.services.calls.at(-1)?.args[0] as CreateVmRequest
}

async function refused(spec: VMSpec, rest: CreateVMOnNodeRequest = {}) {
  const error = await failure(
    ask(rig.client, rig.client.CreateVM, { vmId: VM_ID, name: 'web', spec: { ...SPEC, ...spec }, ...rest }),
  )
  expect(rig.services.calls).toEqual([])
  return error
}

describe('CPU topology: cpu_cores is the total', () => {
  test.each([
    // cores, sockets, threads -> cores, sockets, threads
    [4, 0, 0, 4, 1, 1],
    [4, 1, 1, 4, 1, 1],
    [8, 2, 0, 8, 2, 1],
    [8, 2, 2, 8, 2, 2],
    [1, 2, 0, 1, 1, 1],
    [6, 4, 1, 6, 1, 1],
    [6, 1, 4, 6, 1, 1],
    [3, 3, 1, 3, 3, 1],
  ])('%i cores, %i sockets, %i threads', async (cpuCores, cpuSockets, cpuThreadsPerCore, ...expected) => {
    const { spec } = await created({ cpuCores, cpuSockets, cpuThreadsPerCore })
    expect([spec.cpuCores, spec.cpuSockets, spec.cpuThreadsPerCore]).toEqual(expected)
  })
})

describe('enumerations that control planes cast', () => {
  test.each([
    [0, 'virtio'],
    [1, 'scsi'],
    [2, 'sata'],
    [3, 'sata'],
    [4, 'sata'],
    [77, 'sata'],
  ])('disk bus %i is %s', async (bus, expected) => {
    const { spec } = await created({ disks: [{ id: 'a', sizeGib: 1, bus: bus as DiskSpec['bus'] & number }] })
    expect(spec.disks[0]?.bus).toBe(expected)
  })

  test.each([
    [0, 'virtio'],
    [1, 'e1000'],
    [2, 'e1000e'],
    [3, 'vmxnet3'],
    [9, 'virtio'],
  ])('NIC model %i is %s', async (model, expected) => {
    const { spec } = await created({ nics: [{ id: 'n', model: model as 0 }] })
    expect(spec.nics[0]?.model).toBe(expected)
  })
})

describe('units, defaults and ids', () => {
  test('a full disk', async () => {
    const disk = {
      id: 'root',
      path: '/p/x',
      sizeGib: 10,
      format: 1,
      readonly: true,
      bootable: true,
      poolId: 'pool-1',
    } as const
    const { spec } = await created({ disks: [{ ...disk, backingFile: '/img.qcow2', iopsLimit: 7, throughputMbps: 8 }] })
    expect(spec.disks).toEqual([
      {
        id: 'root',
        path: '/p/x',
        sizeBytes: 10 * GIB,
        bus: 'virtio',
        format: 'raw',
        readonly: true,
        bootable: true,
        iopsLimit: 7,
        throughputMbps: 8,
        backingFile: '/img.qcow2',
        poolId: 'pool-1',
      },
    ])
  })

  test('displays, limits of NICs, and what a guest gets that nobody named anything for', async () => {
    const windows = await created({
      firmware: 1,
      guestOs: 'windows_desktop',
      nics: [{ bandwidthMbps: 50 }],
      console: { vncEnabled: false, vncPort: 5901, vncPassword: 'secret', spiceEnabled: true, spicePort: 0 },
    })
    expect(windows.spec).toMatchObject({
      secureBoot: true,
      tpm: true,
      nics: [{ bandwidthMbps: 50, model: 'virtio' }],
      console: { vncPort: 5901, spice: true, spicePort: 0 },
      vncPassword: 'secret',
    })
    const linux = await created({ firmware: 1, guestOs: 'debian', console: { vncEnabled: true } })
    for (const key of ['secureBoot', 'tpm', 'console', 'vncPassword']) expect(linux.spec).not.toHaveProperty(key)
  })

  test('memory, firmware, labels, ids of what has none', async () => {
    const request = await created(
      {
        memoryMib: 2048,
        memoryHugepages: true,
        firmware: 1,
        disks: [{ sizeGib: 1 }],
        nics: [{}],
        cdroms: [{}],
        guestOs: 'debian',
      },
      { labels: { 'cloned-from': 'x', __proto__x: 'y' } },
    )
    expect(request).toMatchObject({
      vmId: VM_ID,
      labels: { 'cloned-from': 'x' },
      spec: {
        memoryBytes: 2048 * MIB,
        hugepages: true,
        firmware: 'uefi',
        guestOs: 'debian',
        disks: [{ id: 'disk0' }],
        nics: [{ id: 'nic0', macAddress: '', network: '' }],
        cdroms: [{ id: 'cdrom0', isoPath: '' }],
      },
    })
  })

  test('an overlay may leave its size to the image', async () => {
    const { spec } = await created({ disks: [{ id: 'a', backingFile: '/img.qcow2' }] })
    expect(spec.disks[0]?.sizeBytes).toBe(0)
  })

  test('an empty vm_id becomes a new UUID, and the answer tells it', async () => {
    const answers = await Promise.all(
      [1, 2].map(() => ask(rig.client, rig.client.CreateVM, { vmId: '', name: 'web', spec: SPEC })),
    )
    const ids = answers.map((answer) => (answer as { vmId: string }).vmId)
    expect(new Set(ids).size).toBe(2)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  test('vm_id is lower case afterwards', async () => {
    const upper = 'ABCDEFAB-2222-4333-8444-555555555555'
    expect((await created({}, { vmId: upper })).vmId).toBe(upper.toLowerCase())
  })

  test.each([
    [{}, ['disk', 'cdrom', 'network']],
    [{ cdroms: [{ isoPath: '/x.iso' }] }, ['disk', 'cdrom', 'network']],
    [{ cdroms: [{ isoPath: '/x.iso', bootable: true }] }, ['cdrom', 'disk', 'network']],
    [{ bootOrder: [2, 0] as (0 | 2)[], cdroms: [{ isoPath: '/x.iso', bootable: true }] }, ['network', 'disk']],
    [{ bootOrder: [0, 0] as 0[] }, ['disk']],
  ])('boot order of %o', async (spec, expected) => {
    expect((await created(spec)).spec.bootOrder).toEqual(expected)
  })

  test.each([
    [undefined, undefined],
    [{}, undefined],
    [{ vendorData: 'v' }, { userData: '', metaData: '', networkConfig: '', vendorData: 'v' }],
  ])('cloud-init %o', async (cloudInit, expected) => {
    expect((await created(cloudInit === undefined ? {} : { cloudInit })).spec.cloudInit).toEqual(expected)
  })
})

describe('a wrong field is INVALID_ARGUMENT and named', () => {
  const disk = (part: DiskSpec): VMSpec => ({ disks: [{ id: 'a', sizeGib: 1, ...part }] })
  test.each<[string, VMSpec, CreateVMOnNodeRequest?]>([
    ['vm_id', {}, { vmId: 'x' }],
    ['vm_id', {}, { vmId: '00000000-0000-0000-0000-000000000000' }],
    ['name', {}, { name: '' }],
    ['name', {}, { name: 'n'.repeat(300) }],
    ['name', {}, { name: 'a\0b' }],
    ['name', {}, { name: 'a\nb' }],
    ['name', {}, { name: '../../etc' }],
    ['labels["k"]', {}, { labels: { k: 'a\0b' } }],
    ['spec.cpu_cores', { cpuCores: 0 }],
    ['spec.cpu_cores', { cpuCores: 5000 }],
    ['spec.memory_mib', { memoryMib: 0 }],
    ['spec.memory_mib', { memoryMib: '18446744073709551615' }],
    ['spec.memory_mib', { memoryMib: '9007199254740993' }],
    ['spec.firmware', { firmware: 9 as 0 }],
    ['spec.boot_order[1]', { bootOrder: [0, 7 as 0] }],
    ['spec.guest_os', { guestOs: 'x\ny' }],
    ['spec.disks[0].id', disk({ id: '../../x' })],
    ['spec.disks[0].id', disk({ id: 'a/b' })],
    ['spec.disks[0].id', disk({ id: '<x/>' })],
    ['spec.disks[0].id', disk({ id: 'd'.repeat(300) })],
    ['spec.disks[0].size_gib', disk({ sizeGib: 0 })],
    ['spec.disks[0].size_gib', disk({ sizeGib: '9007199254740993' })],
    ['spec.disks[0].size_gib', disk({ sizeGib: 2_000_000 })],
    ['spec.disks[0].format', disk({ format: 5 as 0 })],
    ['spec.disks[0].backing_file', disk({ backingFile: '/a\0b' })],
    ['spec.disks[0].path', disk({ path: '/a\nb' })],
    ['spec.disks[0].pool_id', disk({ poolId: '../x' })],
    ['spec.disks[0].iops_limit', disk({ iopsLimit: '18446744073709551615' })],
    ['spec.disks[1].id', { disks: [{ sizeGib: 1 }, { id: 'disk0', sizeGib: 1 }] }],
    ['spec.nics[0].mac_address', { nics: [{ macAddress: '52:54:00' }] }],
    ['spec.nics[0].bridge', { nics: [{ bridge: 'bridge-name-too-long' }] }],
    ['spec.nics[0].network', { nics: [{ network: 'a\nb' }] }],
    ['spec.cdroms[0].iso_path', { cdroms: [{ isoPath: 'iso/\0' }] }],
    ['spec.cloud_init.user_data', { cloudInit: { userData: 'a\0b' } }],
    ['spec.cloud_init.meta_data', { cloudInit: { metaData: 'x'.repeat(MIB + 1) } }],
  ])('%s (%#)', async (field, spec, rest) => {
    const error = await refused(spec, rest)
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(`${field}: `) })
    expect(error.details.startsWith(`${field}: `)).toBe(true)
    expect(error.details.length).toBeLessThan(300)
  })

  test('a missing spec', async () => {
    const error = await failure(ask(rig.client, rig.client.CreateVM, { vmId: VM_ID, name: 'web' }))
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: 'spec: must be given' })
  })

  test('cloud-init text is not repeated in an error', async () => {
    const error = await refused({ cloudInit: { userData: 'password: hunter2\0' } })
    expect(JSON.stringify(error.metadata.getMap()) + error.details).not.toContain('hunter2')
  })

  test('a timeout beyond an hour', async () => {
    const error = await failure(ask(rig.client, rig.client.StopVM, { vmId: VM_ID, timeoutSeconds: 2 ** 32 - 1 }))
    expect(error.details).toMatch(/^timeout_seconds: /)
  })
})

describe('InitStoragePool', () => {
  test.each<[InitStoragePoolRequest, string, Record<string, unknown>]>([
    [{ type: 1, config: { local: { path: '/srv/p' } } }, 'LOCAL_DIR', { path: '/srv/p' }],
    [
      { type: 1, config: { local: { path: '/srv/p', capacityGib: 7 } } },
      'LOCAL_DIR',
      { path: '/srv/p', capacityGib: 7 },
    ],
    [{ type: 2, config: {} }, 'LOCAL_LVM', {}],
    [
      {
        type: 3,
        config: { nfs: { server: 's', exportPath: '/e', version: '4.1', options: 'ro', mountPoint: '/mnt' } },
      },
      'NFS',
      { server: 's', exportPath: '/e', version: '4.1', options: 'ro', mountPoint: '/mnt' },
    ],
    [
      { type: 3, config: { nfs: { server: 's', exportPath: '/e', version: '' } } },
      'NFS',
      { server: 's', exportPath: '/e' },
    ],
    [
      { type: 4, config: { ceph: { poolName: 'rbd', monitors: ['1.2.3.4:6789'], secretUuid: 'u' } } },
      'CEPH_RBD',
      { poolName: 'rbd', monitors: ['1.2.3.4:6789'], secretUuid: 'u' },
    ],
    [{ type: 5, config: { ceph: { clusterId: 'c' } } }, 'CEPH_FS', { clusterId: 'c' }],
    [
      { type: 6, config: { iscsi: { portal: 'p', target: 't', chapEnabled: true, chapPassword: 's ü' } } },
      'ISCSI',
      { portal: 'p', target: 't', chapEnabled: true, chapPassword: 's ü', lun: 0 },
    ],
    [{ type: 1, config: { nfs: { server: 'other' } } }, 'LOCAL_DIR', {}],
    [{ type: 1 }, 'LOCAL_DIR', {}],
  ])('%j', async (message, kind, options) => {
    await ask(rig.client, rig.client.InitStoragePool, { poolId: 'pool-1', ...message })
    expect(rig.services.calls).toEqual([{ method: 'init', args: [{ poolId: 'pool-1', kind, options }] }])
  })

  test.each<[InitStoragePoolRequest, string, string]>([
    [{ poolId: 'p', type: 0 }, 'POOL_TYPE_UNSUPPORTED', 'type: '],
    [{ poolId: 'p', type: 42 as 0 }, 'POOL_TYPE_UNSUPPORTED', 'type: '],
    [{ poolId: '../p', type: 1 }, 'INVALID_NAME', 'pool_id: '],
    [{ poolId: 'a\nb', type: 1 }, 'INVALID_NAME', 'pool_id: '],
    [{ poolId: '', type: 1 }, 'INVALID_NAME', 'pool_id: '],
    [{ poolId: 'p', type: 1, config: { local: { path: '/a\0' } } }, 'POOL_CONFIG_INVALID', 'config.local.path: '],
    [
      { poolId: 'p', type: 1, config: { local: { path: '/a', capacityGib: '18446744073709551615' } } },
      'POOL_CONFIG_INVALID',
      'config.local.capacity_gib: ',
    ],
    [
      { poolId: 'p', type: 3, config: { nfs: { exportPath: '/e\n' } } },
      'POOL_CONFIG_INVALID',
      'config.nfs.export_path: ',
    ],
    [
      { poolId: 'p', type: 4, config: { ceph: { monitors: ['a', 'b\0'] } } },
      'POOL_CONFIG_INVALID',
      'config.ceph.monitors: ',
    ],
    [
      { poolId: 'p', type: 6, config: { iscsi: { chapPassword: 'hunter2\n' } } },
      'POOL_CONFIG_INVALID',
      'config.iscsi.chap_password: ',
    ],
  ])('%j is refused', async (message, reason, prefix) => {
    const error = await failure(ask(rig.client, rig.client.InitStoragePool, message))
    expect(error.metadata.get('limiquantix-reason')).toEqual([reason])
    expect(error.code).toBe(status.INVALID_ARGUMENT)
    expect(error.details.startsWith(prefix), error.details).toBe(true)
    expect(error.details).not.toContain('hunter2')
    expect(rig.services.calls).toEqual([])
  })
})

describe('ids and paths of the other methods', () => {
  test.each([
    ['StartVM', { vmId: '../x' }, 'vm_id: '],
    ['DeleteVM', { vmId: '' }, 'vm_id: '],
    ['GetStoragePoolInfo', { poolId: '..' }, 'pool_id: '],
    ['DestroyStoragePool', { poolId: 'a/b' }, 'pool_id: '],
    ['ListStoragePoolFiles', { poolId: 'p', path: 'a\0b' }, 'path: '],
    ['GetDownloadStatus', { jobId: 'a\nb' }, 'job_id: '],
    ['CancelDownload', { jobId: 'x'.repeat(300) }, 'job_id: '],
  ] as const)('%s %j', async (method, request, prefix) => {
    const error = await failure(ask<object, unknown>(rig.client, rig.client[method], request))
    expect(error.code).toBe(status.INVALID_ARGUMENT)
    expect(error.details.startsWith(prefix), error.details).toBe(true)
    expect(rig.services.calls).toEqual([])
  })
})
