import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { DiskSpec, PoolConfig } from '../../../src/core/model.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { missingCeph, startCeph, type CephCluster } from '../ceph.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  POOL,
  removeBase,
  vmFiles,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const RBD_POOL = 'rbd-pool'
const missing =
  (await requirePrerequisite('ceph', missingCeph)) ?? (await requirePrerequisite('libvirt', missingLibvirt))

describe.skipIf(missing !== undefined)('VM disks that are Ceph images', () => {
  let ceph: CephCluster
  let place: string
  let base: string
  let agent: AgentParts
  let image: string
  beforeAll(async () => {
    ceph = await startCeph(inject('cephDir'))
    place = `vm-disks-${randomUUID().slice(0, 8)}`
    await ceph.admin('ceph', 'osd', 'pool', 'create', place, '8')
    await ceph.admin('rbd', 'pool', 'init', place)
    base = await makeBase()
    image = path.join(base, 'images/boot.qcow2')
    await makeBootImage(image, 'ignores')
  }, 180_000)
  afterAll(() => removeBase(base))
  beforeEach(async () => {
    agent = await openAgent(base, inject('libvirtDir') ?? '')
    await agent.pools.init(config(), context())
  })
  afterEach(() => endAgent(agent))

  const config = (namespace = ''): PoolConfig => ({
    poolId: namespace === '' ? RBD_POOL : `${RBD_POOL}-${namespace}`,
    kind: 'CEPH_RBD',
    options: {
      monitors: [`${ceph.address}:6789`],
      poolName: place,
      namespace,
      user: 'admin',
      keyringPath: ceph.keyring('admin'),
    },
  })
  const alias = (relative: string) => path.join(agent.aliases, RBD_POOL, 'images', relative)
  const create = async (...disks: readonly Partial<DiskSpec>[]) => {
    const request = vmRequest({}, { disks: disks.map((disk) => newDisk({ sizeBytes: 0, poolId: RBD_POOL, ...disk })) })
    await agent.vms.create(request, within())
    return request.vmId
  }
  const disksOf = async (vmId: string) => (await agent.vms.status(vmId, within())).disks
  const images = async (namespace = '') => {
    const list = await ceph.admin('rbd', 'ls', namespace === '' ? place : `${place}/${namespace}`, '--format', 'json')
    return (JSON.parse(list) as string[]).sort()
  }
  const volumes = () => createVolumeManager(agent.pools)

  test('a disk is a copy of the image file, boots, knows its key by libvirt alone, and nothing of it is left', async () => {
    const before = { images: await images(), files: await vmFiles(agent) }
    const vmId = await create({ backingFile: image, sizeBytes: 4 * MIB }, { id: 'data', sizeBytes: MIB })
    const disks = await disksOf(vmId)
    expect(disks).toMatchObject([
      { id: 'root', format: 'raw', sizeBytes: 4 * MIB },
      { id: 'data', format: 'raw', sizeBytes: MIB },
    ])
    expect(disks.map((disk) => disk.path.startsWith(`rbd:${place}/`))).toEqual([true, true])
    const xml = (await readDomainXml(agent.client, domainRef(vmId), vmId, within())) ?? ''
    expect(xml).toContain(`<host name='${ceph.address}' port='6789'/>`)
    expect(xml).not.toContain(await ceph.key('admin'))
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await expect(agent.pools.destroy(RBD_POOL, context())).rejects.toMatchObject({
      reason: 'POOL_IN_USE',
      message: expect.stringContaining(vmId),
    })
    await agent.vms.delete(vmId, within())
    expect(await images()).toEqual(before.images)
    expect(await vmFiles(agent)).toEqual(before.files)
  })

  test('a running VM gets an image next to its first disk, and lets it go', async () => {
    const before = await images()
    const vmId = await create({ backingFile: image, sizeBytes: 4 * MIB, bus: 'scsi' })
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    const plus = newDisk({ id: 'plus', poolId: '', sizeBytes: MIB, bus: 'scsi' })
    await agent.devices.attachDisk(vmId, plus, within())
    const [, disk] = await disksOf(vmId)
    expect(disk).toMatchObject({ id: 'plus', format: 'raw', sizeBytes: MIB })
    expect(disk?.path).toMatch(`rbd:${place}/`)
    await agent.devices.resizeDisk(vmId, 'plus', 2 * MIB, within())
    await agent.devices.detachDisk(vmId, 'plus', within())
    expect((await disksOf(vmId)).map(({ id }) => id)).toEqual(['root'])
    expect(await images()).toHaveLength(before.length + 2)
    await agent.vms.delete(vmId, within())
    expect(await images()).toHaveLength(before.length + 1)
  })

  test('an image that is a volume is cloned within the pool and copied out of it, and not deleted meanwhile', async () => {
    const content = { type: 'copy', source: { type: 'file', path: image, format: 'qcow2' } } as const
    const spec = { name: 'cloud-images/boot', format: 'raw', sizeBytes: MIB, content, owner: 'image:boot' } as const
    await volumes().create(RBD_POOL, spec, context())
    const before = await images()
    const cloned = await create({ backingFile: alias('cloud-images/boot.qcow2'), sizeBytes: 2 * MIB })
    const copied = await create({ backingFile: alias('cloud-images/boot.qcow2'), poolId: POOL })
    expect(await disksOf(cloned)).toMatchObject([{ format: 'raw', sizeBytes: 2 * MIB }])
    expect(await disksOf(copied)).toMatchObject([{ format: 'qcow2', sizeBytes: MIB }])
    for (const vmId of [cloned, copied]) {
      await agent.vms.start(vmId, within())
      await waitForBoot(agent, vmId)
      await agent.vms.delete(vmId, within())
    }
    expect(await images()).toEqual(before)
    const user = await create({ path: 'cloud-images/boot' })
    await expect(volumes().delete(RBD_POOL, spec.name, context())).rejects.toMatchObject({
      reason: 'VOLUME_IN_USE',
      message: expect.stringContaining(user),
    })
    await agent.vms.delete(user, within())
    expect(await volumes().delete(RBD_POOL, spec.name, context())).toBe('deleted')
  })

  test('the disk of a running VM moves from a file to an image and back, and that of one that is off', async () => {
    const before = await images()
    const vmId = await create({ backingFile: image, poolId: POOL })
    const move = async (poolId: string) => {
      const how = { vmId, diskId: 'root', poolId, bytesPerSecond: 0, dropCheckpoints: false }
      const { id } = await agent.mover.move(how, within(120))
      await agent.operations.result(id, within(120))
    }
    const restarted = async () => {
      await agent.vms.forceStop(vmId, within())
      await agent.vms.start(vmId, within())
      await waitForBoot(agent, vmId)
    }
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await move(RBD_POOL)
    expect(await disksOf(vmId)).toMatchObject([
      { format: 'raw', path: expect.stringContaining(`rbd:${place}/`) as string },
    ])
    expect((await vmFiles(agent)).filter((file) => file.endsWith('.qcow2'))).toEqual([])
    await restarted()
    await move(POOL)
    expect(await disksOf(vmId)).toMatchObject([
      { format: 'raw', path: expect.stringContaining(agent.poolRoot) as string },
    ])
    expect(await images()).toEqual(before)
    await restarted()
    await agent.vms.forceStop(vmId, within())
    await move(RBD_POOL)
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await agent.vms.delete(vmId, within())
    expect(await images()).toEqual(before)
  })

  test('in a namespace: a VM that starts, or a refusal that leaves nothing where libvirt knows no namespaces', async () => {
    await ceph.admin('rbd', 'namespace', 'create', `${place}/team`)
    await agent.pools.init(config('team'), context())
    const before = { images: await images('team'), files: await vmFiles(agent) }
    const poolId = `${RBD_POOL}-team`
    const vmId = await create({ backingFile: image, poolId }).catch((error: unknown) => {
      expect(error).toMatchObject({ reason: 'CEPH_NAMESPACE_UNSUPPORTED', message: expect.stringContaining('/team/') })
    })
    if (vmId !== undefined) {
      await agent.vms.start(vmId, within())
      await waitForBoot(agent, vmId)
      await agent.vms.delete(vmId, within())
    }
    expect(await images('team')).toEqual(before.images)
    expect(await vmFiles(agent)).toEqual(before.files)
  })
})
