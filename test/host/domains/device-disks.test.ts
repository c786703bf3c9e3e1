import { symlink } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { DiskSpec } from '../../../src/core/model.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  POOL,
  removeBase,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { loopDevices, missingLoopDevices, type LoopDevices } from './loop-pool.ts'

const BLOCK_POOL = 'block-pool'
const missing = await requirePrerequisite('libvirt', async () => missingLibvirt() ?? (await missingLoopDevices()))

describe.skipIf(missing !== undefined)('VM disks that are block devices', () => {
  let base: string
  let agent: AgentParts
  let loops: LoopDevices
  let image: string
  let alias: (relative: string) => string
  beforeEach(async () => {
    base = await makeBase()
    loops = loopDevices(path.join(base, 'loops'))
    agent = await openAgent(base, inject('libvirtDir') ?? '', { poolTypes: [loops.factory] })
    await agent.pools.init({ poolId: BLOCK_POOL, kind: 'LOCAL_LVM', options: {} }, context())
    image = path.join(base, 'images/boot.qcow2')
    alias = (relative) => path.join(agent.aliases, BLOCK_POOL, 'images', relative)
    await makeBootImage(image, 'ignores')
  })
  afterEach(async () => {
    await endAgent(agent)
    await loops.close()
    await removeBase(base)
  })

  const create = async (...disks: readonly Partial<DiskSpec>[]) => {
    const request = vmRequest({}, { disks: disks.map((disk) => newDisk({ sizeBytes: 0, ...disk })) })
    await agent.vms.create(request, within())
    return request.vmId
  }
  const refusal = (...disks: readonly Partial<DiskSpec>[]) => create(...disks).catch((error: unknown) => error)
  const disksOf = async (vmId: string) => (await agent.vms.status(vmId, within())).disks
  const started = async (vmId: string) => {
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
  }
  // What a download of an image into such a pool leaves.
  const imageVolume = async () => {
    const content = { type: 'copy', source: { type: 'file', path: image, format: 'qcow2' } } as const
    const spec = { name: 'cloud-images/boot', format: 'raw', sizeBytes: MIB, content, owner: 'image:boot' } as const
    const volume = await createVolumeManager(agent.pools).create(BLOCK_POOL, spec, context())
    return volume.source.type === 'block' ? volume.source.device : ''
  }

  test('the disk of a running VM moves from a file to a device and back, and boots there', async () => {
    const vmId = await create({ backingFile: image, sizeBytes: 4 * MIB })
    await started(vmId)
    const move = async (poolId: string) => {
      const how = { vmId, diskId: 'root', poolId, bytesPerSecond: 0, dropCheckpoints: false }
      const { id } = await agent.mover.move(how, within())
      await agent.operations.result(id, within())
    }
    await move(BLOCK_POOL)
    expect(await disksOf(vmId)).toMatchObject([{ path: loops.devices()[0], format: 'raw', sizeBytes: 4 * MIB }])
    await agent.vms.forceStop(vmId, within())
    await started(vmId)
    await move(POOL)
    expect(await disksOf(vmId)).toMatchObject([{ format: 'raw', sizeBytes: 4 * MIB }])
    expect(loops.devices()).toEqual([])
    await agent.vms.forceStop(vmId, within())
    await started(vmId)
  })

  test('a disk in a block pool is a copy of the image file, boots, and goes with the VM', async () => {
    const vmId = await create(
      { poolId: BLOCK_POOL, backingFile: image, sizeBytes: 4 * MIB },
      { id: 'data', poolId: BLOCK_POOL, sizeBytes: MIB },
    )
    const [root, data] = loops.devices()
    expect(await disksOf(vmId)).toMatchObject([
      { id: 'root', path: root, format: 'raw', sizeBytes: 4 * MIB },
      { id: 'data', path: data, format: 'raw', sizeBytes: MIB },
    ])
    const xml = await readDomainXml(agent.client, domainRef(vmId), vmId, within())
    expect(xml).toMatch(/type='raw' cache='none' io='native' discard='unmap'/)
    await started(vmId)
    await expect(agent.pools.destroy(BLOCK_POOL, context())).rejects.toMatchObject({
      reason: 'POOL_IN_USE',
      message: expect.stringContaining(vmId),
    })
    await agent.vms.delete(vmId, within())
    expect(loops.devices()).toEqual([])
  })

  test('a running VM gets a device next to its first disk, and lets it go', async () => {
    const vmId = await create({ poolId: BLOCK_POOL, backingFile: image, sizeBytes: 4 * MIB, bus: 'scsi' })
    await started(vmId)
    const plus = newDisk({ id: 'plus', poolId: '', sizeBytes: MIB, bus: 'scsi' })
    await agent.devices.attachDisk(vmId, plus, within())
    await agent.devices.attachDisk(vmId, plus, within())
    const device = (await disksOf(vmId))[1]?.path ?? ''
    expect(loops.devices()).toContain(device)
    expect((await disksOf(vmId))[1]).toMatchObject({ id: 'plus', format: 'raw', sizeBytes: MIB })
    await expect(
      agent.snapshots.create(vmId, { name: 'x', description: '', includeMemory: true }, within()),
    ).rejects.toMatchObject({ reason: 'SNAPSHOT_UNSUPPORTED' })
    await agent.devices.detachDisk(vmId, 'plus', within())
    expect((await disksOf(vmId)).map(({ id }) => id)).toEqual(['root'])
    expect(loops.devices()).toContain(device)
    await agent.devices.attachDisk(vmId, { ...plus, path: device, sizeBytes: 0 }, within())
    await agent.vms.delete(vmId, within())
    expect(loops.devices()).toEqual([device])
  })

  test('the alias path of an image is its volume: cloned within the pool, copied into a file pool', async () => {
    const device = await imageVolume()
    const vmId = await create(
      { poolId: BLOCK_POOL, backingFile: alias('cloud-images/boot.qcow2') },
      { id: 'copy', poolId: POOL, backingFile: alias('cloud-images/boot.img') },
      { id: 'by-device', poolId: POOL, format: 'raw', backingFile: device },
    )
    const disks = await disksOf(vmId)
    expect(disks).toMatchObject([
      { id: 'root', format: 'raw', sizeBytes: MIB },
      { id: 'copy', format: 'qcow2', sizeBytes: MIB },
      { id: 'by-device', format: 'raw', sizeBytes: MIB },
    ])
    // None of them stands on the image.
    const { facts } = await agent.inventory.entry(vmId, within())
    expect(facts.paths.filter((place) => !place.endsWith('.iso'))).toEqual(disks.map((disk) => disk.path))
    await started(vmId)
    await agent.vms.delete(vmId, within())
    expect(loops.devices()).toEqual([device])
  })

  test('an image that is no volume of the pool is missing', async () => {
    expect(await refusal({ poolId: BLOCK_POOL, backingFile: alias('cloud-images/none.qcow2') })).toMatchObject({
      reason: 'BACKING_FILE_MISSING',
    })
    expect(await refusal({ poolId: BLOCK_POOL, backingFile: alias('cloud-images/..%2f.qcow2') })).toMatchObject({
      reason: 'INVALID_NAME',
    })
    expect(loops.devices()).toEqual([])
  })

  test.each([
    ['its name', (_: string) => 'cloud-images/boot'],
    ['its alias', (_: string) => alias('cloud-images/boot')],
    ['its device', (device: string) => device],
  ])('a volume that is there is attached by %s, and stays when the VM goes', async (_, name) => {
    const device = await imageVolume()
    const vmId = await create({ poolId: BLOCK_POOL, path: name(device) })
    expect(await disksOf(vmId)).toMatchObject([{ path: device, format: 'raw', sizeBytes: MIB }])
    const { facts } = await agent.inventory.entry(vmId, within())
    expect(facts.disks).toMatchObject([{ poolId: BLOCK_POOL, volume: 'cloud-images/boot', owned: false }])
    await started(vmId)
    const volumes = createVolumeManager(agent.pools)
    await expect(volumes.delete(BLOCK_POOL, 'cloud-images/boot', context())).rejects.toMatchObject({
      reason: 'VOLUME_IN_USE',
      message: expect.stringContaining(vmId),
    })
    // It writes to it: what another VM began with would change.
    expect(await refusal({ poolId: BLOCK_POOL, backingFile: alias('cloud-images/boot') })).toMatchObject({
      reason: 'VOLUME_IN_USE',
      message: expect.stringContaining(vmId),
    })
    await agent.vms.delete(vmId, within())
    expect(loops.devices()).toEqual([device])
  })

  test('one volume under two names is one disk', async () => {
    const device = await imageVolume()
    expect(await refusal({ poolId: BLOCK_POOL, path: 'cloud-images/boot' }, { id: 'b', path: device })).toMatchObject({
      reason: 'VM_SPEC_INVALID',
    })
  })

  test('what a running VM only reads may be the image of others', async () => {
    await imageVolume()
    const reader = await create({ poolId: BLOCK_POOL, path: 'cloud-images/boot', readonly: true })
    await started(reader)
    await create({ poolId: BLOCK_POOL, backingFile: alias('cloud-images/boot') })
  })

  test('a device outside of the pools has to be allowed', async () => {
    const device = await imageVolume()
    await agent.pools.destroy(BLOCK_POOL, context())
    expect(await refusal({ path: device })).toMatchObject({ reason: 'INVALID_PATH' })
    // A link in an allowed directory does not help.
    await symlink(device, path.join(base, 'images/link'))
    expect(await refusal({ path: path.join(base, 'images/link') })).toMatchObject({ reason: 'INVALID_PATH' })
    await agent.close()
    agent = await openAgent(base, inject('libvirtDir') ?? '', { poolTypes: [loops.factory], imageRoots: [device] })
    const vmId = await create({ path: device })
    expect(await disksOf(vmId)).toMatchObject([{ path: device, format: 'raw', sizeBytes: MIB }])
    await started(vmId)
  })
})
