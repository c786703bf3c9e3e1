import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { writeManifest } from '../../../src/domains/backup/backup-manifest.ts'
import type { VmBackup } from '../../../src/domains/backup/backup-record.ts'
import type { RestoredDisk } from '../../../src/domains/backup/restore-backup.ts'
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
  vmFiles,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')

describe.skipIf(missing !== undefined)('backups are what their pool says', { timeout: 180_000 }, () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  const uri = `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock`
  let agent: AgentParts
  let base: string
  beforeEach(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
    agent = await openAgent(base, libvirtDir)
  })
  afterEach(async () => {
    await endAgent(agent)
    await removeBase(base)
  })

  const create = async () => {
    const boot = path.join(base, 'images/boot.qcow2')
    // Of no version and variant of RFC 9562, as libvirt takes it too.
    const vmId = randomUUID().replace(/-4(...)-./, '-0$1-0')
    const request = vmRequest(
      { vmId },
      { disks: [newDisk({ backingFile: boot }), newDisk({ id: 'data', sizeBytes: 8 * MIB })] },
    )
    await agent.vms.create(request, within())
    await agent.vms.start(request.vmId, within())
    await waitForBoot(agent, request.vmId)
    return request.vmId
  }
  const write = async (vmId: string, command: string) => {
    const told = `qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "${command}"`
    await run('virsh', ['-c', uri, 'qemu-monitor-command', vmId, '--hmp', told])
  }
  const backup = async (vmId: string, name: string) => {
    const { id } = await agent.backups.create({ vmId, name, poolId: POOL, mode: 'incremental' }, within())
    return agent.operations.result<VmBackup>(id, within())
  }
  const restore = async (vmId: string, name: string, prefix: string) => {
    const { id } = await agent.backups.restore({ vmId, name, poolId: POOL, prefix }, within())
    return agent.operations.result<RestoredDisk[]>(id, within())
  }
  const list = async (vmId?: string) => {
    const { backups, damaged } = await agent.backups.list(vmId, within())
    return {
      backups: backups.map(({ name, state }) => `${name} ${state}`),
      damaged: damaged.map(({ name, problem }) => `${name}: ${problem}`),
    }
  }
  const manifest = (vmId: string, name: string) =>
    path.join(agent.poolRoot, `.limiquantix/backups/${vmId}.${name}.json`)
  const remembered = () => path.join(base, 'state/store/backups')

  test('a host that knows nothing, with the pool at another place, lists, restores, protects and deletes them', async () => {
    const vmId = await create()
    await write(vmId, 'write -P 0xaa 0 4M')
    await backup(vmId, 'one')
    await write(vmId, 'write -P 0xbb 1M 64k')
    await backup(vmId, 'two')
    expect(await readFile(manifest(vmId, 'two'), 'utf8')).not.toContain(agent.poolRoot + '/backup-')
    await endAgent(agent)
    await rm(path.join(base, 'state'), { recursive: true })
    const elsewhere = path.join(base, 'elsewhere')
    await rename(path.join(base, 'pool'), elsewhere)
    agent = await openAgent(base, libvirtDir, { poolPath: elsewhere })

    expect(await list()).toEqual({ backups: ['one whole', 'two whole'], damaged: [] })
    const disks = await restore(vmId, 'two', 'back')
    const file = disks.find(({ diskId }) => diskId === 'data')?.path ?? ''
    const read = ['read -P 0xaa 0 1M', 'read -P 0xbb 1M 64k', 'read -P 0xaa 1088k 2M'].flatMap((each) => ['-c', each])
    expect((await run('qemu-io', ['-f', 'qcow2', '-r', ...read, file])).stdout).not.toContain('verification failed')
    await expect(
      createVolumeManager(agent.pools).delete(POOL, `backup-${vmId}-two-vda`, context()),
    ).rejects.toMatchObject({ reason: 'VOLUME_IN_USE' })
    await expect(agent.backups.delete(vmId, 'one', within())).rejects.toMatchObject({ reason: 'BACKUP_IN_USE' })

    // The pool comes back with what it holds, and is not held for it.
    await agent.pools.destroy(POOL, context())
    expect(await list(vmId)).toEqual({ backups: ['one unseen', 'two unseen'], damaged: [] })
    await agent.pools.init({ poolId: POOL, kind: 'LOCAL_DIR', options: { path: elsewhere } }, context())
    expect(await list(vmId)).toEqual({ backups: ['one whole', 'two whole'], damaged: [] })
    for (const name of ['two', 'one']) await agent.backups.delete(vmId, name, within())
    expect((await vmFiles(agent)).filter((each) => each.includes('backup'))).toEqual([])
  })

  test('one whose manifest was changed or lost is told as such, never restored, and can be deleted', async () => {
    const vmId = await create()
    await backup(vmId, 'one')
    await backup(vmId, 'two')
    await backup(vmId, 'three')
    const text = await readFile(manifest(vmId, 'two'), 'utf8')
    await writeFile(manifest(vmId, 'two'), text.replace('"parent": "one"', '"parent": ""'))
    await rm(manifest(vmId, 'three'))
    expect(await list(vmId)).toEqual({
      backups: ['one whole'],
      damaged: [
        'two: its manifest is not what it was when it was written',
        expect.stringContaining('three: it has no manifest'),
      ],
    })
    for (const name of ['two', 'three'])
      await expect(restore(vmId, name, 'bad')).rejects.toMatchObject({ reason: 'BACKUP_DAMAGED' })
    await expect(restore(vmId, 'four', 'bad')).rejects.toMatchObject({ reason: 'BACKUP_NOT_FOUND' })
    await expect(backup(vmId, 'two')).rejects.toMatchObject({ reason: 'BACKUP_DAMAGED' })
    await expect(agent.backups.delete(vmId, 'one', within())).rejects.toMatchObject({ reason: 'BACKUP_IN_USE' })

    await writeFile(manifest(vmId, 'two'), text.replace('"version": 1', '"version": 2'))
    expect((await list(vmId)).damaged[0]).toContain('version 2')
    await writeFile(manifest(vmId, 'two'), '{')
    expect((await list(vmId)).damaged[0]).toContain('no JSON')
    for (const name of ['three', 'two', 'one']) await agent.backups.delete(vmId, name, within())
    expect(await list(vmId)).toEqual({ backups: [], damaged: [] })
    expect((await vmFiles(agent)).filter((each) => each.includes(`backup-${vmId}`))).toEqual([])
  })

  test('one that only the state of an earlier agent knew gets its manifest; one whose volume is gone, or stands on another file, is damaged', async () => {
    const vmId = await create()
    const one = await backup(vmId, 'one')
    const two = await backup(vmId, 'two')
    await rm(manifest(vmId, 'one'))
    await rename(path.join(remembered(), `${POOL}.${vmId}.one.json`), path.join(remembered(), `${vmId}.one.json`))
    // One that no manifest can be made of hides no other, and stays known.
    const odd = one.disks.map((disk) => ({ ...disk, targetDev: 'V D A' }))
    const last = two.createdAt + 1
    const earlier = { ...one, name: 'odd', disks: odd, createdAt: last }
    await writeFile(path.join(remembered(), `${vmId}.odd.json`), JSON.stringify(earlier))
    for (const _ of ['first', 'again'])
      expect(await list(vmId)).toEqual({ backups: ['one whole', 'two whole', 'odd unseen'], damaged: [] })
    await rm(path.join(remembered(), `${vmId}.odd.json`))
    expect(await list(vmId)).toEqual({ backups: ['one whole', 'two whole'], damaged: [] })
    await restore(vmId, 'two', 'fine')
    const at = two.disks[0]?.path ?? ''
    await run('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/hostname', at])
    const { stdout } = await run('sha256sum', [at])
    const disks = two.disks.map((disk, index) => (index === 0 ? { ...disk, sha256: stdout.slice(0, 64) } : disk))
    await writeFile(manifest(vmId, 'two'), writeManifest({ ...two, disks }))
    expect((await list(vmId)).damaged).toEqual([])
    await expect(restore(vmId, 'two', 'bad')).rejects.toMatchObject({
      reason: 'BACKUP_DAMAGED',
      message: expect.stringContaining('does not stand on') as string,
    })
    await agent.backups.delete(vmId, 'two', within())
    await rm(one.disks[1]?.path ?? '')
    await expect(restore(vmId, 'one', 'bad')).rejects.toMatchObject({
      reason: 'BACKUP_DAMAGED',
      message: expect.stringContaining('is gone') as string,
    })
    await agent.backups.delete(vmId, 'one', within())
  })

  test.each(['unlisted', 'emptied'])(
    'a deletion that is killed (%s) is no backup any more, and goes on',
    async (point) => {
      const vmId = await create()
      await backup(vmId, 'one')
      await backup(vmId, 'two')
      await agent.close()
      const args = [child, base, libvirtDir, 'delete-backup', point, vmId, JSON.stringify('two')]
      await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
      agent = await openAgent(base, libvirtDir)
      await Promise.all(
        agent.operations.list('vm.delete-backup').map(({ id }) => agent.operations.wait(id, within(60))),
      )
      expect(await list(vmId)).toEqual({ backups: ['one whole'], damaged: [] })
      expect((await vmFiles(agent)).filter((each) => each.includes(`-two-`))).toEqual([])
      expect((await backup(vmId, 'three')).parent).toBe('')
    },
  )

  test.each(['meant', 'forgotten'])(
    'a deletion that is killed (%s), and goes on when another host went on meanwhile, deletes nothing of what that made',
    async (point) => {
      const vmId = await create()
      await backup(vmId, 'one')
      const two = await backup(vmId, 'two')
      const dieIn = async (name: string) => {
        await agent.close()
        const args = [child, base, libvirtDir, 'delete-backup', point, vmId, JSON.stringify(name)]
        await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
      }
      const reopen = async () => {
        agent = await openAgent(base, libvirtDir)
        const [last] = agent.operations.list('vm.delete-backup').slice(-1)
        return agent.operations.wait(last?.id ?? '', within())
      }
      const volumes = async () => (await vmFiles(agent)).filter((each) => each.startsWith(`pool/backup-${vmId}`))
      const before = await volumes()

      // One that holds what changed since.
      await dieIn('two')
      const next = two.disks.map((disk) => ({ ...disk, volume: disk.volume.replace('-two-', '-three-') }))
      const three = { ...two, name: 'three', parent: 'two', createdAt: two.createdAt + 1, disks: next }
      await writeFile(manifest(vmId, 'three'), writeManifest(three))
      expect((await reopen()).error).toMatchObject({ reason: 'BACKUP_IN_USE' })
      expect((await list(vmId)).backups).toEqual(['one whole', 'two whole', 'three whole'])
      await agent.backups.delete(vmId, 'three', within())

      // Another one under the name.
      await dieIn('two')
      await writeFile(manifest(vmId, 'two'), writeManifest({ ...two, createdAt: two.createdAt + 1 }))
      expect((await reopen()).state).toBe('completed')
      expect(await list(vmId)).toEqual({ backups: ['one whole', 'two whole'], damaged: [] })

      // What was an attempt is a backup by now.
      const text = await readFile(manifest(vmId, 'two'), 'utf8')
      await rm(manifest(vmId, 'two'))
      await dieIn('two')
      await writeFile(manifest(vmId, 'two'), text)
      expect((await reopen()).error).toMatchObject({ reason: 'BACKUP_IN_USE' })
      expect((await list(vmId)).backups).toEqual(['one whole', 'two whole'])
      expect(await volumes()).toEqual(before)
      for (const name of ['two', 'one']) await agent.backups.delete(vmId, name, within())
      expect(await volumes()).toEqual([])
    },
  )

  test('a deletion and another host, which puts one on top at that moment: the backup is there again', async () => {
    const vmId = await create()
    const one = await backup(vmId, 'one')
    const text = writeManifest({
      ...one,
      name: 'two',
      parent: 'one',
      createdAt: one.createdAt + 1,
      disks: one.disks.map((disk) => ({ ...disk, volume: disk.volume.replace('-one-', '-two-') })),
    })
    await agent.close()
    agent = await openAgent(base, libvirtDir, {
      afterStep: (name) => {
        if (name === 'unlisted') writeFileSync(manifest(vmId, 'two'), text)
      },
    })
    const before = await vmFiles(agent)
    await expect(agent.backups.delete(vmId, 'one', within())).rejects.toMatchObject({ reason: 'BACKUP_IN_USE' })
    expect(await list(vmId)).toEqual({ backups: ['one whole', 'two whole'], damaged: [] })
    await rm(manifest(vmId, 'two'))
    expect((await vmFiles(agent)).filter((file) => !file.endsWith('.two.json'))).toEqual(before)
    await restore(vmId, 'one', 'back')
  })

  test('one whose manifest cannot be read now stays known, and is neither damaged nor deleted', async () => {
    const vmId = await create()
    await backup(vmId, 'one')
    await backup(vmId, 'two')
    const sick = manifest(vmId, 'two')
    const volume = `backup-${vmId}-two-vda`
    // Nothing is mapped at address 0: a read of it is EIO, as of a bad sector.
    await run('mount', ['--bind', `/proc/${process.pid}/mem`, sick])
    try {
      for (const _ of ['first', 'again'])
        expect(await list(vmId)).toEqual({ backups: ['one whole', 'two unseen'], damaged: [] })
      await expect(agent.backups.delete(vmId, 'two', within())).rejects.toMatchObject({ reason: 'POOL_IO_ERROR' })
      await expect(agent.backups.delete(vmId, 'one', within())).rejects.toMatchObject({ reason: 'BACKUP_IN_USE' })
      await expect(createVolumeManager(agent.pools).delete(POOL, volume, context())).rejects.toMatchObject({
        reason: 'VOLUME_IN_USE',
      })
      // A host that never read it.
      await agent.close()
      await rm(path.join(base, 'state'), { recursive: true })
      agent = await openAgent(base, libvirtDir)
      expect(await list(vmId)).toEqual({
        backups: ['one whole'],
        damaged: [expect.stringMatching(/^two: .*cannot be read now \(EIO\)/)],
      })
      await expect(agent.backups.delete(vmId, 'two', within())).rejects.toMatchObject({ reason: 'POOL_IO_ERROR' })
      await expect(agent.backups.delete(vmId, 'one', within())).rejects.toMatchObject({ reason: 'BACKUP_IN_USE' })
      await expect(restore(vmId, 'two', 'bad')).rejects.toMatchObject({ reason: 'POOL_IO_ERROR' })
      await expect(createVolumeManager(agent.pools).delete(POOL, volume, context())).rejects.toMatchObject({
        reason: 'VOLUME_IN_USE',
      })
    } finally {
      await run('umount', [sick])
    }
    expect(await list(vmId)).toEqual({ backups: ['one whole', 'two whole'], damaged: [] })
  })

  test('libvirt keeps no checkpoint of one that was deleted damaged, or that nobody knows any more', async () => {
    const vmId = await create()
    const checkpoints = async () => {
      const { stdout } = await run('virsh', ['-q', '-c', uri, 'checkpoint-list', vmId, '--name'])
      return stdout.split('\n').filter((name) => name !== '')
    }
    await backup(vmId, 'one')
    await rm(manifest(vmId, 'one'))
    expect(await list(vmId)).toMatchObject({ backups: [], damaged: [expect.stringContaining('one: ')] })
    expect(await checkpoints()).toEqual(['backup-one'])
    await agent.backups.delete(vmId, 'one', within())
    expect(await checkpoints()).toEqual([])

    const { disks } = await backup(vmId, 'two')
    await rm(manifest(vmId, 'two'))
    const pool = await agent.pools.require(POOL, context())
    for (const { volume } of disks) await pool.backend.deleteVolume(volume, context())
    await run('virsh', ['-q', '-c', uri, 'checkpoint-create-as', vmId, 'somebodys'])
    expect(await checkpoints()).toEqual(['backup-two', 'somebodys'])
    expect((await backup(vmId, 'three')).parent).toBe('')
    expect((await checkpoints()).sort()).toEqual(['backup-three', 'somebodys'])
  })
})
