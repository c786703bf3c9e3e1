import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { DiskSpec } from '../../../src/core/model.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { VIR_DOMAIN_BLOCK_COPY, VIR_DOMAIN_BLOCK_JOB_TYPE } from '../../../src/libvirt/constants.ts'
import { imageInfo } from '../../../src/storage/qemu-img.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmFiles,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('snapshots in files of their own', () => {
  let agent: AgentParts
  let boot: string
  beforeAll(async () => {
    agent = await openAgent(await makeBase(), inject('libvirtDir') ?? '')
    boot = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(boot, 'ignores')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
  })

  const create = async (running: boolean, data: Partial<DiskSpec> = {}, firmware: 'bios' | 'uefi' = 'bios') => {
    const disks = [newDisk({ backingFile: boot }), newDisk({ id: 'data', ...data })]
    const request = vmRequest({}, { firmware, disks })
    await agent.vms.create(request, within())
    if (running) await start(request.vmId, firmware)
    return request.vmId
  }
  const start = async (vmId: string, firmware: 'bios' | 'uefi' = 'bios') => {
    await agent.vms.start(vmId, within())
    if (firmware === 'bios') await waitForBoot(agent, vmId)
  }
  const take = (vmId: string, name: string) =>
    agent.snapshots.create(vmId, { name, description: '', includeMemory: false }, within())
  const revert = (vmId: string, name: string) => agent.snapshots.revert(vmId, name, within())
  const remove = (vmId: string, name: string) => agent.snapshots.delete(vmId, name, within())
  const list = async (vmId: string) =>
    (await agent.snapshots.list(vmId, within())).map(({ id, parentId, hasMemory }) => `${id}<${parentId} ${hasMemory}`)
  const diskOf = async (vmId: string, id = 'data') => {
    const disk = (await agent.inventory.entry(vmId, within())).facts.disks.find((one) => one.id === id)
    if (disk === undefined) throw new Error(`no disk ${id}`)
    return disk
  }
  const layersOf = async (vmId: string) => (await agent.inventory.entry(vmId, within())).facts.layers
  const formatOf = (file: string) => (file.endsWith('.raw') ? 'raw' : 'qcow2')
  /** Writes to a disk of a VM that is off. */
  const write = async (vmId: string, pattern: string, id?: string) => {
    const { path: file } = await diskOf(vmId, id)
    await run('qemu-io', ['-f', formatOf(file), '-c', `write -P ${pattern} 0 64k`, file])
  }
  const holds = async (vmId: string, pattern: string, id?: string) => {
    const { path: file } = await diskOf(vmId, id)
    const { stdout } = await run('qemu-io', ['-r', '-U', '-f', formatOf(file), '-c', `read -P ${pattern} 0 64k`, file])
    return !stdout.includes('verification failed')
  }
  const imagesOf = async (vmId: string) => {
    const { path: file } = await diskOf(vmId)
    return (await readdir(path.dirname(file))).sort()
  }

  test.each([
    ['qcow2', 'bios', true],
    ['raw', 'bios', true],
    ['raw', 'bios', false],
    ['qcow2', 'uefi', true],
    ['qcow2', 'uefi', false],
  ] as const)(
    'a VM with a %s disk and %s firmware (running: %s) is kept, and everything merged again',
    async (format, firmware, running) => {
      const before = await vmFiles(agent)
      const vmId = await create(running, { format }, firmware)
      const files = await imagesOf(vmId)
      const first = await agent.snapshots.create(
        vmId,
        { name: 'a', description: 'one', includeMemory: running ? false : undefined },
        within(),
      )
      expect(first).toMatchObject({
        id: 'a',
        description: 'one',
        hasMemory: false,
        vmState: running ? 'RUNNING' : 'STOPPED',
      })
      await take(vmId, 'b')
      await take(vmId, 'b')
      expect(await list(vmId)).toEqual(['a< false', 'b<a false'])
      expect((await diskOf(vmId)).path).toMatch(/data\.snap2\.qcow2$/)
      expect(await imagesOf(vmId)).toHaveLength(files.length + 4)
      // Those in the middle first, then the one that is written to.
      await remove(vmId, 'a')
      expect(await list(vmId)).toEqual(['b< false'])
      expect(await imagesOf(vmId)).toHaveLength(files.length + 2)
      await remove(vmId, 'b')
      await remove(vmId, 'b')
      expect(await list(vmId)).toEqual([])
      expect(await imagesOf(vmId)).toEqual(files)
      expect(await layersOf(vmId)).toEqual([])
      expect(await diskOf(vmId)).toMatchObject({ format, volume: expect.stringMatching(/\/data$/), owned: true })
      await agent.vms.forceStop(vmId, within())
      await start(vmId, firmware)
      await agent.vms.delete(vmId, within())
      expect(await vmFiles(agent)).toEqual(before)
    },
  )

  test.each(['qcow2', 'raw'] as const)(
    'a VM goes back and forth between what its %s disks were, and each branch can go',
    async (format) => {
      const before = await vmFiles(agent)
      const vmId = await create(false, { format }, 'uefi')
      await write(vmId, '0xaa')
      await take(vmId, 'a')
      await write(vmId, '0xbb')
      await take(vmId, 'b')
      await write(vmId, '0xcc')
      expect(await holds(vmId, '0xcc')).toBe(true)
      await revert(vmId, 'a')
      expect(await holds(vmId, '0xaa')).toBe(true)
      await write(vmId, '0xdd')
      await take(vmId, 'c')
      expect(await list(vmId)).toEqual(['a< false', 'b<a false', 'c<a false'])
      await revert(vmId, 'b')
      expect(await holds(vmId, '0xbb')).toBe(true)
      // Two branches stand on it: its file stays until one of them is gone.
      await remove(vmId, 'a')
      expect(await list(vmId)).toEqual(['b< false', 'c< false'])
      await revert(vmId, 'c')
      expect(await holds(vmId, '0xdd')).toBe(true)
      await remove(vmId, 'b')
      await revert(vmId, 'c')
      expect(await holds(vmId, '0xdd')).toBe(true)
      await remove(vmId, 'c')
      expect(await layersOf(vmId)).toEqual([])
      expect(await holds(vmId, '0xdd')).toBe(true)
      await start(vmId, 'uefi')
      await agent.vms.delete(vmId, within())
      expect(await vmFiles(agent)).toEqual(before)
    },
  )

  test('a copy that somebody else makes of a disk is left alone, and the delete goes on after it', async () => {
    const vmId = await create(true)
    await take(vmId, 'a')
    const { targetDev, path: overlay } = await diskOf(vmId)
    const disk = { dom: domainRef(vmId), path: targetDev, flags: 0 }
    const destxml = `<disk type='file'><source file='${path.join(agent.base, 'copy.qcow2')}'/><driver type='qcow2'/></disk>`
    const copy = { ...disk, destxml, params: [], flags: VIR_DOMAIN_BLOCK_COPY.TRANSIENT_JOB }
    await agent.client.call('remote:DOMAIN_BLOCK_COPY', copy)
    const job = () => agent.client.call('remote:DOMAIN_GET_BLOCK_JOB_INFO', disk)
    await until(async () => {
      const { cur, end } = await job()
      return end > 0n && cur === end
    })
    await expect(remove(vmId, 'a')).rejects.toMatchObject({
      reason: 'VM_STATE_CONFLICT',
      message: expect.stringContaining('(copy)') as string,
    })
    expect(await job()).toMatchObject({ found: 1, type: VIR_DOMAIN_BLOCK_JOB_TYPE.COPY })
    expect((await diskOf(vmId)).path).toBe(overlay)
    await agent.client.call('remote:DOMAIN_BLOCK_JOB_ABORT', disk)
    await remove(vmId, 'a')
    expect(await list(vmId)).toEqual([])
    expect(await layersOf(vmId)).toEqual([])
    await agent.vms.delete(vmId, within())
  })

  test('the VM runs while it is kept and merged, and goes back off', async () => {
    const vmId = await create(true, { format: 'raw' })
    await take(vmId, 'a')
    await take(vmId, 'b')
    await revert(vmId, 'a')
    expect((await agent.vms.status(vmId, within())).state).toBe('STOPPED')
    await start(vmId)
    await remove(vmId, 'b')
    await remove(vmId, 'a')
    expect((await agent.vms.status(vmId, within())).state).toBe('RUNNING')
    expect(await layersOf(vmId)).toEqual([])
    await agent.vms.delete(vmId, within())
  })

  test('layers count as the VM: they are used, deleted with it, and its disks stay in it', async () => {
    const before = await vmFiles(agent)
    const vmId = await create(false, { format: 'raw' })
    await take(vmId, 'a')
    await take(vmId, 'b')
    await revert(vmId, 'a')
    const [pool] = agent.pools.active()
    if (pool === undefined) throw new Error('no pool')
    const used = (await agent.pools.users(pool, context())).map((user) => user.path)
    for (const layer of await layersOf(vmId)) expect(used).toContain(layer.path)
    expect((await agent.inventory.entry(vmId, within())).facts.paths).toContain(boot)
    await expect(agent.devices.detachDisk(vmId, 'data', within())).rejects.toMatchObject({ reason: 'CONFLICT' })
    await agent.devices.resizeDisk(vmId, 'data', 4 * 1024 * 1024, within())
    expect((await imageInfo((await diskOf(vmId)).path, 'qcow2', context())).virtualSizeBytes).toBe(4 * 1024 * 1024)
    await remove(vmId, 'b')
    await remove(vmId, 'a')
    const { path: file } = await diskOf(vmId)
    expect(file).toMatch(/data\.raw$/)
    expect((await imageInfo(file, 'raw', context())).virtualSizeBytes).toBe(4 * 1024 * 1024)
    await take(vmId, 'again')
    await agent.vms.delete(vmId, within())
    expect(await vmFiles(agent)).toEqual(before)
  })

  test('kinds do not mix, and memory is kept or refused', async () => {
    const vmId = await create(true)
    await agent.snapshots.create(vmId, { name: 'memory', description: '', includeMemory: true }, within())
    await expect(take(vmId, 'x')).rejects.toMatchObject({ reason: 'SNAPSHOT_UNSUPPORTED' })
    await remove(vmId, 'memory')
    await take(vmId, 'x')
    const whole = agent.snapshots.create(vmId, { name: 'y', description: '', includeMemory: true }, within())
    await expect(whole).rejects.toMatchObject({ reason: 'SNAPSHOT_UNSUPPORTED' })
    await agent.snapshots.create(vmId, { name: 'y', description: '', includeMemory: undefined }, within())
    expect(await list(vmId)).toEqual(['x< false', 'y<x false'])
    await agent.vms.delete(vmId, within())
  })
})
