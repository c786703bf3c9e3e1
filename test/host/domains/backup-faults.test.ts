import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { appendFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger } from '../../../src/core/context.ts'
import type { VmBackup } from '../../../src/domains/backup/backup-record.ts'
import type { RestoredDisk } from '../../../src/domains/backup/restore-backup.ts'
import { moments } from '../moments.ts'
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
  type OpenOptions,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { killLibvirtd, startLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')
const BEGIN = 'remote:DOMAIN_BACKUP_BEGIN'

describe.skipIf(missing !== undefined)('backups while something dies', { timeout: 240_000 }, () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let agent: AgentParts
  beforeAll(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
  })
  afterEach(() => endAgent(agent))
  afterAll(() => removeBase(base))

  const start = async (options: OpenOptions = {}) => {
    agent = await openAgent(base, libvirtDir, options)
  }
  const virsh = async (...args: string[]) =>
    (
      await run('virsh', ['-q', '-c', `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock`, ...args])
    ).stdout.trim()
  const write = (vmId: string, command: string) =>
    virsh(
      'qemu-monitor-command',
      vmId,
      '--hmp',
      `qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "${command}"`,
    )
  const create = async () => {
    const boot = path.join(base, 'images/boot.qcow2')
    const disks = [newDisk({ backingFile: boot }), newDisk({ id: 'data', sizeBytes: 32 * MIB })]
    const request = vmRequest({}, { disks })
    await agent.vms.create(request, within())
    await agent.vms.start(request.vmId, within())
    await waitForBoot(agent, request.vmId)
    await write(request.vmId, 'write -P 0xaa 0 32M')
    return request.vmId
  }
  const backup = async (vmId: string, name: string) => {
    const { id } = await agent.backups.create({ vmId, name, poolId: POOL, mode: 'incremental' }, within())
    return agent.operations.result<VmBackup>(id, within(120))
  }
  const settled = () =>
    Promise.all(agent.operations.list('vm.backup').map(({ id }) => agent.operations.wait(id, within(120))))
  /** The backup holds the disk as it is: `0xaa`, and `0xbb` at the second MiB. */
  const isWhole = async (vmId: string, name: string) => {
    const prefix = `restored-${vmId}-${name}`
    const { id } = await agent.backups.restore({ vmId, name, poolId: POOL, prefix }, within())
    const disks = await agent.operations.result<RestoredDisk[]>(id, within(120))
    const file = disks.find(({ diskId }) => diskId === 'data')?.path ?? ''
    const read = ['read -P 0xaa 0 1M', 'read -P 0xbb 1M 1M', 'read -P 0xaa 2M 30M'].flatMap((each) => ['-c', each])
    const { stdout } = await run('qemu-io', ['-f', 'qcow2', '-r', ...read, file])
    const pool = await agent.pools.require(POOL, { signal: within(), log: silentLogger })
    for (const { volume } of disks) await pool.backend.deleteVolume(volume, { signal: within(), log: silentLogger })
    expect(stdout).not.toContain('verification failed')
  }
  /** Nothing but what the finished backups need: their volumes, and the last checkpoint. Former ones may be left where they could not be deleted at once: the next backup tries again. */
  const isClean = async (vmId: string, former: 'gone' | 'may be left' = 'gone') => {
    const { backups: known, damaged } = await agent.backups.list(vmId, within())
    expect(damaged).toEqual([])
    const volumes = known.flatMap(({ disks }) => disks.map(({ volume }) => `pool/${volume}.qcow2`)).sort()
    expect((await vmFiles(agent)).filter((file) => file.startsWith(`pool/backup-${vmId}`))).toEqual(volumes)
    const checkpoints = known.flatMap(({ checkpoint }) => (checkpoint === '' ? [] : [checkpoint]))
    const listed = (await virsh('checkpoint-list', vmId, '--name')).split('\n').filter((name) => name !== '')
    if (former === 'gone') expect(listed).toEqual(checkpoints.slice(-1))
    else expect(listed).toEqual(checkpoints.slice(-listed.length || checkpoints.length))
  }

  test.each(
    moments(['volumes', 'journal', `in ${BEGIN}`, `after ${BEGIN}`, 'begun', 'pushed', 'digested', 'put', 'recorded']),
  )('the agent (%s): the backup is finished, or made anew, after the restart', async (point) => {
    await start()
    const vmId = await create()
    await backup(vmId, 'first')
    await write(vmId, 'write -P 0xbb 1M 1M')
    await agent.close()
    const args = [child, base, libvirtDir, 'backup', point, vmId, JSON.stringify('second')]
    await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
    await start()
    await settled()
    expect((await backup(vmId, 'second')).parent).toBe('first')
    await isWhole(vmId, 'second')
    await isClean(vmId)
    expect((await backup(vmId, 'third')).parent).toBe('second')
    await isWhole(vmId, 'third')
    await isClean(vmId)
  })

  test.each([true, false])('the agent, while it restores (backup damaged meanwhile: %s)', async (isDamaged) => {
    await start()
    const vmId = await create()
    const { disks } = await backup(vmId, 'good')
    await write(vmId, 'write -P 0xbb 1M 1M')
    const before = await vmFiles(agent)
    await agent.close()
    const args = [child, base, libvirtDir, 'restore', 'restored', vmId, JSON.stringify('good')]
    await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
    if (isDamaged) await appendFile(disks[0]?.path ?? '', 'x')
    await start()
    const [resumed] = agent.operations.list('vm.restore-backup').slice(-1)
    const { state, error } = await agent.operations.wait(resumed?.id ?? '', within(120))
    const restored = (await vmFiles(agent)).filter((file) => file.startsWith('pool/killed'))
    if (isDamaged) {
      expect(error).toMatchObject({ reason: 'BACKUP_DAMAGED' })
      expect(await vmFiles(agent)).toEqual(before)
    } else {
      expect([state, restored]).toEqual(['completed', ['pool/killed-vda.qcow2', 'pool/killed-vdb.qcow2']])
      const pool = await agent.pools.require(POOL, context())
      for (const volume of ['killed-vda', 'killed-vdb']) await pool.backend.deleteVolume(volume, context())
    }
  })

  test('libvirtd, while QEMU pushes: the backup is whole or nothing of it is left, and the next one is right', async () => {
    let killed: Promise<void> | undefined
    await start({
      afterStep: (name) => {
        if (name === 'begun') killed ??= killLibvirtd(libvirtDir).then(() => startLibvirtd(libvirtDir))
      },
    })
    const vmId = await create()
    await write(vmId, 'write -P 0xbb 1M 1M')
    await backup(vmId, 'first').catch((error: unknown) => expect(error).toMatchObject({ reason: 'BACKUP_FAILED' }))
    await killed
    await agent.client.ready(within())
    await Promise.all(
      agent.operations.list('vm.backup-cleanup').map(({ id }) => agent.operations.wait(id, within(120))),
    )
    await isClean(vmId)
    await backup(vmId, 'second')
    await isWhole(vmId, 'second')
    await isClean(vmId)
  })

  test.each(['is over', 'begins meanwhile'])(
    'another host, whose attempt under the same name %s: its volume is neither taken nor deleted, until an admin does',
    async (when) => {
      let meanwhile: (() => Promise<unknown>) | undefined
      await start({
        aroundCall: async (name, call) => {
          // Of a plan in the job itself, which has looked for such volumes by then.
          const isAtIt = agent.operations.list('vm.backup').some(({ state }) => state === 'running')
          if (isAtIt && name === 'remote:DOMAIN_GET_BLOCK_INFO') await meanwhile?.()
          return call()
        },
      })
      const vmId = await create()
      await agent.vms.forceStop(vmId, within())
      const pool = await agent.pools.require(POOL, context())
      const volume = `backup-${vmId}-same-vda`
      const owner = `backup:${vmId}:same:another-host`
      const plant = async () => {
        const content = { type: 'empty' } as const
        const spec = { name: volume, format: 'qcow2', sizeBytes: 32 * MIB, content, owner } as const
        await pool.backend.createVolume(spec, context())
      }
      if (when === 'is over') await plant()
      else meanwhile = plant
      const reason = when === 'is over' ? 'BACKUP_DAMAGED' : 'VOLUME_CONFLICT'
      await expect(backup(vmId, 'same')).rejects.toMatchObject({ reason })
      meanwhile = undefined
      expect((await vmFiles(agent)).filter((file) => file.startsWith(`pool/backup-${vmId}`))).toEqual([
        `pool/${volume}.qcow2`,
      ])
      await expect(backup(vmId, 'same')).rejects.toMatchObject({ reason: 'BACKUP_DAMAGED' })
      await agent.backups.delete(vmId, 'same', within())
      expect((await backup(vmId, 'same')).disks).toHaveLength(2)
      await isClean(vmId)
    },
  )

  describe('another host, which deletes', () => {
    const deletions: Record<string, (vmId: string) => string[]> = {
      'what it stands on': (vmId) => [`.limiquantix/backups/${vmId}.first.json`],
      'a volume of it': (vmId) => [`backup-${vmId}-second-vdb.qcow2`],
    }
    /** Nothing of the second one is left, and the next one is whole. */
    const isUndone = async (vmId: string) => {
      await Promise.all(
        agent.operations.list('vm.backup-cleanup').map(({ id }) => agent.operations.wait(id, within(120))),
      )
      expect((await agent.backups.list(vmId, within())).backups.every(({ name }) => name === 'first')).toBe(true)
      expect((await vmFiles(agent)).filter((file) => file.includes(`backup-${vmId}-second`))).toEqual([])
      expect(await virsh('checkpoint-list', vmId, '--name')).not.toContain('backup-second')
      await backup(vmId, 'third')
      await isWhole(vmId, 'third')
    }

    test.each(Object.entries(deletions))('%s at the last moment: it fails', async (_what, filesOf) => {
      let doomed: string[] = []
      await start({
        afterStep: (name) => {
          if (name === 'put') for (const file of doomed.splice(0)) rmSync(path.join(agent.poolRoot, file))
        },
      })
      const vmId = await create()
      await backup(vmId, 'first')
      await write(vmId, 'write -P 0xbb 1M 1M')
      doomed = filesOf(vmId)
      await expect(backup(vmId, 'second')).rejects.toMatchObject({
        reason: 'BACKUP_FAILED',
        message: expect.stringContaining('deleted') as string,
      })
      await isUndone(vmId)
    })

    test.each(Object.entries(deletions))(
      '%s while the agent, killed at the last moment, is down: it fails',
      async (_what, filesOf) => {
        await start()
        const vmId = await create()
        await backup(vmId, 'first')
        await write(vmId, 'write -P 0xbb 1M 1M')
        await agent.close()
        const args = [child, base, libvirtDir, 'backup', 'put', vmId, JSON.stringify('second')]
        await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
        for (const file of filesOf(vmId)) rmSync(path.join(base, 'pool', file))
        await start()
        const own = (await settled()).filter(({ subject }) => subject === `vm ${vmId}`)
        expect(own.map(({ error }) => error?.reason)).toEqual([undefined, 'BACKUP_FAILED'])
        await isUndone(vmId)
      },
    )
  })

  test('another job of the VM, which ends after the backup: nobody knows how that ended, and nothing of it is left', async () => {
    let dump: (() => Promise<unknown>) | undefined
    let isBegun = false
    await start({
      afterStep: (name) => {
        if (name === 'begun') isBegun = true
      },
      // Before the question how it ended; before an earlier one libvirt refuses the dump.
      aroundCall: async (name, call) => {
        if (isBegun && name === 'remote:DOMAIN_GET_JOB_STATS') await dump?.().catch(() => undefined)
        return call()
      },
    })
    const vmId = await create()
    const file = path.join(base, `${vmId}.core`)
    dump = () => virsh('dump', vmId, file, '--live')
    await expect(backup(vmId, 'unknown')).rejects.toMatchObject({
      reason: 'BACKUP_FAILED',
      message: expect.stringContaining('another job') as string,
    })
    expect((await stat(file)).size).toBeGreaterThan(0)
    await isClean(vmId)
    dump = undefined
    await backup(vmId, 'known')
    await isClean(vmId)
  })

  test('the VM, while QEMU pushes: nothing of the backup is left', async () => {
    let vmId = ''
    let stopped: Promise<unknown> | undefined
    await start({
      afterStep: (name) => {
        if (name === 'begun' && vmId !== '') stopped ??= virsh('destroy', vmId)
      },
    })
    const made = await create()
    await backup(made, 'first')
    await write(made, 'write -P 0xbb 1M 1M')
    vmId = made
    const outcome = await backup(vmId, 'lost').then(
      () => 'whole',
      (error: unknown) => (error as { reason: string }).reason,
    )
    await stopped
    expect(['whole', 'BACKUP_FAILED']).toContain(outcome)
    await isClean(vmId, 'may be left')
    expect((await backup(vmId, 'cold')).parent).toBe('')
    await isWhole(vmId, 'cold')
    // The bitmap of a QEMU that was killed is not believed.
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await backup(vmId, 'next').catch((error: unknown) => {
      expect(error).toMatchObject({ reason: 'BACKUP_UNSUPPORTED' })
    })
  })
})
