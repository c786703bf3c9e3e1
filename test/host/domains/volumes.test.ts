import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { beforeAll, describe, expect, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { attachInfo } from '../../../src/domains/attach-info.ts'
import { DiskResizer } from '../../../src/domains/disk-resize.ts'
import type { VolumeService } from '../../../src/services/contracts.ts'
import { createVolumeService } from '../../../src/services/volume-service.ts'
import { imageInfo } from '../../../src/storage/qemu-img.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, newDisk, POOL, vmRequest, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { ask, failure, openGrpc } from './grpc-agent.ts'
import { useAgent } from './use-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('volumes of a host with VMs', () => {
  const agent = useAgent()
  let service: VolumeService
  beforeAll(async () => {
    const { client, inventory, pools, locks } = agent
    const volumes = createVolumeManager(pools)
    service = createVolumeService({
      pools,
      volumes,
      resizer: new DiskResizer({ libvirt: client, inventory, pools, volumes, locks }),
      findImage: agent.findImage,
      attachInfo,
      log: silentLogger,
    })
  })

  const reason = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work
      return 'no error'
    } catch (error) {
      if (error instanceof AgentError) return error.reason
      throw error
    }
  }
  const createVm = async (diskId: string) => {
    const request = vmRequest({}, { disks: [newDisk({ id: diskId, sizeBytes: 4 * MIB })] })
    await agent.vms.create(request, within())
    return request.vmId
  }
  const diskOf = async (vmId: string) => (await agent.vms.status(vmId, within())).disks[0]
  const sizeSeen = async (file: string) => (await imageInfo(file, 'qcow2', context())).virtualSizeBytes

  test('a disk grows by its id alone, off and under a running VM, and VMs tell its new size', async () => {
    const vmId = await createVm('grown')
    const file = (await diskOf(vmId))?.path ?? ''
    await service.resize('default', 'grown', 8 * MIB, within())
    expect(await sizeSeen(file)).toBe(8 * MIB)
    expect(await diskOf(vmId)).toMatchObject({ sizeBytes: 8 * MIB })

    await agent.vms.start(vmId, within())
    await service.resize('', 'grown', 16 * MIB, within())
    await service.resize('default', 'grown', 16 * MIB, within())
    expect(await sizeSeen(file)).toBe(16 * MIB)
    expect(await diskOf(vmId)).toMatchObject({ id: 'grown', sizeBytes: 16 * MIB })
    expect(await reason(service.resize('default', 'grown', 8 * MIB, within()))).toBe('VOLUME_TOO_SMALL')

    await agent.vms.forceStop(vmId, within())
    expect(await diskOf(vmId)).toMatchObject({ sizeBytes: 16 * MIB })
    expect(await reason(service.resize('default', 'grown', 8 * MIB, within()))).toBe('VOLUME_TOO_SMALL')
  })

  test('control planes grow a disk over gRPC by its id and the pool "default", one that was added to a running VM too', async () => {
    const vmId = await createVm('mine')
    await createVm('twin')
    await createVm('twin')
    await agent.vms.start(vmId, within())
    await agent.devices.attachDisk(vmId, newDisk({ id: 'disk-1700000000000000002', bus: 'scsi' }), within())
    await agent.devices.attachDisk(vmId, newDisk({ id: 'twin' }), within())
    const grpc = await openGrpc({ vms: agent.vms, volumes: service })
    try {
      const resize = (volumeId: string, newSizeBytes: number) =>
        ask(grpc.client, grpc.client.ResizeVolume, { poolId: 'default', volumeId, newSizeBytes })
      await resize('disk-1700000000000000002', 8 * MIB)
      await resize('disk-1700000000000000002', 8 * MIB)
      expect((await failure(resize('disk-1700000000000000002', 4 * MIB))).code).toBe(status.INVALID_ARGUMENT)
      expect((await failure(resize('twin', 8 * MIB))).code).toBe(status.FAILED_PRECONDITION)
      expect((await failure(resize('nowhere', 8 * MIB))).code).toBe(status.NOT_FOUND)
    } finally {
      grpc.close()
    }
    // With its VM named, an id of several VMs is clear.
    await agent.devices.resizeDisk(vmId, 'twin', 16 * MIB, within())
    await agent.devices.resizeDisk(vmId, 'vda', 32 * MIB, within())
    const { disks } = await agent.vms.status(vmId, within())
    expect(disks.map(({ id, sizeBytes }) => [id, sizeBytes / MIB]).toSorted()).toEqual([
      ['disk-1700000000000000002', 8],
      ['mine', 32],
      ['twin', 16],
    ])
    for (const disk of disks) expect(await sizeSeen(disk.path)).toBe(disk.sizeBytes)
    await agent.vms.delete(vmId, within())
  })

  test('a disk id of several VMs, and one of none, is told so', async () => {
    const [one, other] = [await createVm('disk0'), await createVm('disk0')]
    const refused = service.resize('default', 'disk0', 8 * MIB, within())
    await expect(refused).rejects.toMatchObject({ reason: 'DISK_AMBIGUOUS', message: expect.stringContaining(one) })
    await expect(refused).rejects.toMatchObject({ message: expect.stringContaining(other) })
    expect(await reason(service.resize('default', 'nowhere', 8 * MIB, within()))).toBe('VOLUME_NOT_FOUND')
  })

  test('the disk of a running VM is neither cloned nor kept; the VM is named', async () => {
    const vmId = await createVm('busy')
    const volumeId = (await agent.inventory.entry(vmId, within())).facts.disks[0]?.volume ?? ''
    const clone = (name: string) =>
      service.create({ poolId: POOL, volumeId: name, sizeBytes: 0, origin: { type: 'volume', id: volumeId } }, within())
    expect((await clone('before')).virtualSizeBytes).toBe(4 * MIB)
    await service.createSnapshot(POOL, volumeId, 'off', within())
    await agent.vms.start(vmId, within())
    await expect(clone('during')).rejects.toMatchObject({
      reason: 'VOLUME_IN_USE',
      message: expect.stringContaining(vmId),
    })
    expect(await reason(service.createSnapshot(POOL, volumeId, 'on', within()))).toBe('VOLUME_IN_USE')
    expect(await reason(service.deleteSnapshot(POOL, volumeId, 'off', within()))).toBe('VOLUME_IN_USE')
    expect(await reason(service.delete(POOL, volumeId, within()))).toBe('VOLUME_IN_USE')
    const listed = (await service.list(POOL, within())).find(({ name }) => name === volumeId)
    expect(listed?.users).toEqual([expect.stringContaining(vmId)])

    await agent.vms.forceStop(vmId, within())
    const origin = { type: 'snapshot', id: `${volumeId}@off` } as const
    const kept = await service.create({ poolId: POOL, volumeId: 'kept', sizeBytes: 8 * MIB, origin }, within())
    expect(kept.virtualSizeBytes).toBe(8 * MIB)
    expect(await service.listSnapshots(POOL, volumeId, within())).toMatchObject([{ name: 'off' }])
  })

  test('an image by path, by its catalog id or as a volume begins a volume; anything else does not', async () => {
    const image = path.join(agent.base, 'images/base.qcow2')
    await makeBootImage(image, 'obeys')
    const size = await sizeSeen(image)
    const create = (volumeId: string, id: string) =>
      service.create({ poolId: POOL, volumeId, sizeBytes: 0, origin: { type: 'image', id } }, within())
    const made = await create('from-path', image)
    expect(made).toMatchObject({ format: 'qcow2', virtualSizeBytes: size })
    expect(await create('from-path', image)).toMatchObject({ name: 'from-path', source: made.source })
    await create('cloud-images/base', image)
    expect((await create('from-catalog', 'base')).virtualSizeBytes).toBe(size)
    expect((await create('from-volume', 'from-path')).virtualSizeBytes).toBe(size)
    expect(await reason(create('x', 'missing'))).toBe('BACKING_FILE_MISSING')
    expect(await reason(create('x', '/etc/passwd'))).toBe('BACKING_FILE_REFUSED')
    await writeFile(path.join(agent.base, 'images/text.qcow2'), 'no image')
    expect(await reason(create('x', path.join(agent.base, 'images/text.qcow2')))).toBe('BACKING_FILE_REFUSED')
    const wrong = { poolId: POOL, volumeId: 'x', sizeBytes: 0, origin: { type: 'snapshot', id: 'from-path' } } as const
    expect(await reason(service.create(wrong, within()))).toBe('INVALID_REQUEST')
    expect((await service.list(POOL, within())).map(({ name }) => name)).not.toContain('x')
  })

  test('attach info is a disk that libvirt takes', async () => {
    await service.create({ poolId: POOL, volumeId: 'data', sizeBytes: 4 * MIB, origin: { type: 'empty' } }, within())
    const { path: place, diskXml } = await service.attachInfo(POOL, 'data', within())
    expect(place).toBe(path.join(agent.poolRoot, 'data.qcow2'))
    expect(diskXml).toContain(`file="${place}"`)
    await service.delete(POOL, 'data', within())
    await service.delete(POOL, 'data', within())
    expect(await reason(service.attachInfo(POOL, 'data', within()))).toBe('VOLUME_NOT_FOUND')
  })
})
