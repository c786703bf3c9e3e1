import { execFile } from 'node:child_process'
import { open, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { VmBackup } from '../../../src/domains/backup/backup-record.ts'
import type { BackupMode } from '../../../src/domains/backup/plan-backup.ts'
import type { RestoredDisk } from '../../../src/domains/backup/restore-backup.ts'
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

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('backups of VMs', { timeout: 180_000 }, () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let agent: AgentParts
  let boot: string
  beforeAll(async () => {
    agent = await openAgent(await makeBase(), libvirtDir)
    boot = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(boot, 'ignores')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
  })

  const create = async (running: boolean) => {
    const disks = [newDisk({ backingFile: boot }), newDisk({ id: 'data', sizeBytes: 8 * MIB })]
    const request = vmRequest({}, { disks })
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  /** Writes to the second disk as the guest would, through the QEMU that runs it. */
  const write = async (vmId: string, command: string) => {
    const uri = `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock`
    const told = `qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "${command}"`
    const { stdout } = await run('virsh', ['-c', uri, 'qemu-monitor-command', vmId, '--hmp', told])
    // What it says of a success goes to its log.
    expect(stdout.trim()).toBe('')
  }
  const backup = async (vmId: string, name: string, mode: BackupMode = 'incremental') => {
    const { id } = await agent.backups.create({ vmId, name, poolId: POOL, mode }, within())
    return agent.operations.result<VmBackup>(id, within())
  }
  const restore = async (vmId: string, name: string, prefix: string) => {
    const { id } = await agent.backups.restore({ vmId, name, poolId: POOL, prefix }, within())
    return agent.operations.result<RestoredDisk[]>(id, within())
  }
  const pattern = async (disks: readonly RestoredDisk[], at: string, of: string) => {
    const file = disks.find(({ diskId }) => diskId === 'data')?.path ?? ''
    const { stdout } = await run('qemu-io', ['-f', 'qcow2', '-r', '-c', `read -P ${of} ${at}`, file])
    return !stdout.includes('verification failed')
  }
  /** Bytes on disk of one of its volumes. */
  const stored = async (made: VmBackup, id: string) => {
    const { path: file = '' } = made.disks.find(({ diskId }) => diskId === id) ?? {}
    return (await stat(file)).blocks * 512
  }

  test('hold what was there at their instant, each the changes since the one before', async () => {
    const vmId = await create(true)
    await write(vmId, 'write -P 0xaa 0 4M')
    const first = await backup(vmId, 'one')
    expect(first).toMatchObject({ parent: '', checkpoint: 'backup-one' })
    await write(vmId, 'write -P 0xbb 1M 64k')
    await write(vmId, 'write -P 0 2M 64k')
    const second = await backup(vmId, 'two')
    expect(second).toMatchObject({ parent: 'one', checkpoint: 'backup-two' })
    await write(vmId, 'write -P 0xcc 3M 64k')
    const third = await backup(vmId, 'three')
    expect(third.parent).toBe('two')

    const [one, two, three] = [
      await restore(vmId, 'one', 'r1'),
      await restore(vmId, 'two', 'r2'),
      await restore(vmId, 'three', 'r3'),
    ]
    expect(await pattern(one, '0 4M', '0xaa')).toBe(true)
    expect(await pattern(two, '1M 64k', '0xbb')).toBe(true)
    expect(await pattern(two, '2M 64k', '0')).toBe(true)
    expect(await pattern(two, '3M 64k', '0xaa')).toBe(true)
    expect(await pattern(three, '3M 64k', '0xcc')).toBe(true)
    expect(await pattern(three, '1M 64k', '0xbb')).toBe(true)
    expect(one.map(({ volume }) => volume)).toEqual(['r1-vda', 'r1-vdb'])
    const boots = await run('qemu-img', ['compare', '-U', one[0]?.path ?? '', three[0]?.path ?? ''])
    expect(boots.stdout).toContain('identical')
    // Less than a megabyte of what changed, beside four.
    const [all, changes] = [await stored(first, 'data'), await stored(second, 'data')]
    expect(all).toBeGreaterThan(4 * MIB)
    expect(changes).toBeLessThan(MIB)

    await expect(agent.backups.delete(vmId, 'one', within())).rejects.toMatchObject({ reason: 'BACKUP_IN_USE' })
    for (const name of ['three', 'two', 'one']) await agent.backups.delete(vmId, name, within())
    expect(await agent.backups.list(vmId, within())).toEqual({ backups: [], damaged: [] })
    expect((await vmFiles(agent)).filter((file) => file.includes('backup-'))).toEqual([])
    // Without a checkpoint libvirt takes snapshots again.
    await agent.snapshots.create(vmId, { name: 'after', description: '', includeMemory: true }, within())
    await expect(backup(vmId, 'four')).rejects.toMatchObject({
      reason: 'BACKUP_UNSUPPORTED',
      message: expect.stringContaining('1 snapshot') as string,
    })
    expect((await backup(vmId, 'whole', 'full')).checkpoint).toBe('')
    await agent.backups.delete(vmId, 'whole', within())
    await agent.vms.delete(vmId, within())
  })

  test('of a VM that is off, and one of the same name again, are whole; they outlive the VM', async () => {
    const vmId = await create(false)
    const made = await backup(vmId, 'cold')
    expect(made).toMatchObject({ parent: '', checkpoint: '' })
    expect(await backup(vmId, 'cold')).toEqual(made)
    await agent.vms.delete(vmId, within())
    const [root] = await restore(vmId, 'cold', 'cold')
    const same = await run('qemu-img', ['compare', '-U', root?.path ?? '', boot]).catch((error: unknown) => error)
    expect((same as { stdout: string }).stdout).toContain('identical')
    await agent.backups.delete(vmId, 'cold', within())
  })

  test('that were damaged since are not restored, and nothing is left of the attempt', async () => {
    const vmId = await create(true)
    const made = await backup(vmId, 'good')
    const { path: file = '' } = made.disks[1] ?? {}
    const handle = await open(file, 'r+')
    await handle.write(Buffer.from([0x5a]), 0, 1, 100)
    await handle.close()
    const before = await vmFiles(agent)
    await expect(restore(vmId, 'good', 'bad')).rejects.toMatchObject({ reason: 'BACKUP_DAMAGED' })
    expect(await vmFiles(agent)).toEqual(before)
    await agent.backups.delete(vmId, 'good', within())
    await agent.vms.delete(vmId, within())
  })

  test('are restored into new volumes alone: those of an earlier restore stay, in use or not', async () => {
    const vmId = await create(true)
    await backup(vmId, 'again')
    const restored = await restore(vmId, 'again', 'kept')
    const volume = restored.find(({ diskId }) => diskId === 'data')
    const disk = newDisk({ id: 'back', path: volume?.path ?? '', sizeBytes: 8 * MIB })
    await agent.devices.attachDisk(vmId, disk, within())
    const [root] = restored
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xdd 0 64k', root?.path ?? ''])
    const before = await vmFiles(agent)
    await expect(restore(vmId, 'again', 'kept')).rejects.toMatchObject({ reason: 'VOLUME_CONFLICT' })
    expect(await vmFiles(agent)).toEqual(before)
    await agent.vms.forceStop(vmId, within())
    await agent.devices.detachDisk(vmId, 'back', within())
    await expect(restore(vmId, 'again', 'kept')).rejects.toMatchObject({ reason: 'VOLUME_CONFLICT' })
    expect(await vmFiles(agent)).toEqual(before)
    // One alone that is in the way: what was made beside it goes.
    const pool = await agent.pools.require(POOL, context())
    await pool.backend.deleteVolume('kept-vda', context())
    const left = await vmFiles(agent)
    await expect(restore(vmId, 'again', 'kept')).rejects.toMatchObject({ reason: 'VOLUME_CONFLICT' })
    expect(await vmFiles(agent)).toEqual(left)
    await pool.backend.deleteVolume('kept-vdb', context())
    await agent.backups.delete(vmId, 'again', within())
    await agent.vms.delete(vmId, within())
  })

  test('cannot be deleted as mere volumes', async () => {
    const vmId = await create(true)
    const { disks } = await backup(vmId, 'kept')
    const pool = await agent.pools.require(POOL, context())
    const users = await agent.pools.users(pool, context())
    expect(users.filter(({ name }) => name.includes('"kept"')).map(({ path: at }) => at)).toEqual(
      disks.map(({ path: at }) => at),
    )
    await agent.backups.delete(vmId, 'kept', within())
    await agent.vms.delete(vmId, within())
  })
})
