import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { DiskBus } from '../../../src/core/model.ts'
import type { BackupExport, ExportRequest } from '../../../src/domains/backup/export-record.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, missingRoot, requirePrerequisite } from '../require.ts'
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
import { makeDiskGuest } from './disk-guest.ts'
import { missingLoopDevices } from './loop-pool.ts'
import { killLibvirtd, startLibvirtd } from './private-libvirtd.ts'
import { mountSmall } from './small-file-system.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', () => missingRoot() ?? missingLibvirt())
const noLoops = await requirePrerequisite('loop devices', missingLoopDevices)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')

describe.skipIf(missing !== undefined)('exports of VMs over NBD', { timeout: 240_000 }, () => {
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
    virsh('qemu-monitor-command', vmId, '--hmp', `qemu-io -d sata0-0-1 "${command}"`)
  const create = async (bus: DiskBus = 'sata') => {
    const boot = path.join(base, 'images/boot.qcow2')
    const disks = [newDisk({ bus, backingFile: boot }), newDisk({ bus, id: 'data', sizeBytes: 8 * MIB })]
    const request = vmRequest({}, { disks })
    await agent.vms.create(request, within())
    await agent.vms.start(request.vmId, within())
    await waitForBoot(agent, request.vmId)
    return request.vmId
  }
  const openExport = (vmId: string, part: Partial<ExportRequest> = {}) =>
    agent.exports.open(
      {
        vmId,
        name: `e-${randomUUID().slice(0, 8)}`,
        poolId: '',
        mode: 'incremental',
        since: '',
        lifetimeMs: 600_000,
        ...part,
      },
      within(),
    )
  /** The bytes of the second disk, read by qemu-img. */
  const read = async ({ socket }: BackupExport) => {
    const file = path.join(base, `read-${randomUUID()}.raw`)
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', `nbd+unix:///sdb?socket=${socket}`, file])
    return readFile(file)
  }
  /** The parts of the second disk that are dirty, as qemu-img tells them of a bitmap. */
  const dirty = async ({ socket, disks }: BackupExport) => {
    const bitmap = disks.find(({ diskId }) => diskId === 'data')?.bitmap ?? ''
    const image = `driver=nbd,export=sdb,server.type=unix,server.path=${socket},x-dirty-bitmap=${bitmap}`
    const { stdout } = await run('qemu-img', ['map', '--output=json', '--image-opts', image])
    const extents = JSON.parse(stdout) as { start: number; length: number; data: boolean }[]
    // NBD calls dirty what is set, which qemu-img takes for "no data".
    return extents.filter(({ data }) => !data).map(({ start: from, length }) => [from, length] as const)
  }
  const checkpoints = async (vmId: string) =>
    (await virsh('checkpoint-list', vmId, '--name')).split('\n').filter(Boolean)
  const isClean = async (vmId: string, kept: readonly string[]) => {
    expect(await checkpoints(vmId)).toEqual(kept)
    expect((await vmFiles(agent)).filter((file) => file.includes(`export-${vmId}`))).toEqual([])
    const directories = await readdir(path.join(base, 'state/exports')).catch(() => [])
    expect(directories.filter((name) => name.startsWith(vmId))).toEqual([])
    expect(await agent.exports.list(vmId)).toEqual([])
    await expect(virsh('backup-dumpxml', vmId)).rejects.toThrow()
  }

  test('are what the disks were at their instant, all of it and then what changed, and the two together are the disk', async () => {
    await start()
    const vmId = await create()
    await write(vmId, 'write -P 0xaa 0 4M')
    const first = await openExport(vmId)
    expect(first).toMatchObject({ since: '', checkpoint: `export-${first.name}` })
    const directory = await stat(path.dirname(first.socket))
    expect(directory.mode & 0o777).toBe(0o700)
    // What comes later is in no export that is open.
    await write(vmId, 'write -P 0xbb 1M 64k')
    const all = await read(first)
    expect(all.length).toBe(8 * MIB)
    expect(all.subarray(0, 4 * MIB).every((byte) => byte === 0xaa)).toBe(true)
    expect(all.subarray(4 * MIB).every((byte) => byte === 0)).toBe(true)
    expect(await agent.exports.list(vmId)).toEqual([first])
    expect(await openExport(vmId, { name: first.name })).toEqual(first)
    await expect(openExport(vmId)).rejects.toMatchObject({ reason: 'CONFLICT' })
    await expect(
      agent.backups.create({ vmId, name: 'pushed', poolId: POOL, mode: 'full' }, within()),
    ).rejects.toMatchObject({ reason: 'CONFLICT', message: expect.stringContaining('exported') as string })
    await agent.exports.end(vmId, first.name, true, within())
    await agent.exports.end(vmId, first.name, true, within())
    await isClean(vmId, [first.checkpoint])
    // The checkpoint of what is complete is not taken by another one of that name.
    for (const since of ['', first.checkpoint])
      await expect(openExport(vmId, { name: first.name, since })).rejects.toMatchObject({ reason: 'CONFLICT' })
    await isClean(vmId, [first.checkpoint])
    await agent.exports.end(vmId, first.name, true, within())

    await write(vmId, 'write -P 0xcc 6M 64k')
    const second = await openExport(vmId, { since: first.checkpoint })
    const changed = await dirty(second)
    const now = await read(second)
    for (const [from, length] of changed) now.copy(all, from, from, from + length)
    expect(changed.reduce((sum, [, length]) => sum + length, 0)).toBeLessThan(MIB)
    expect(all.equals(now)).toBe(true)
    expect(all.subarray(MIB, MIB + 65536).every((byte) => byte === 0xbb)).toBe(true)
    expect(all.subarray(6 * MIB, 6 * MIB + 65536).every((byte) => byte === 0xcc)).toBe(true)
    // Given up: the next one tells the same changes and those since.
    await agent.exports.end(vmId, second.name, false, within())
    await isClean(vmId, [first.checkpoint])
    await expect(agent.exports.end(vmId, second.name, true, within())).rejects.toMatchObject({
      reason: 'BACKUP_EXPORT_ENDED',
    })

    const third = await openExport(vmId, { since: first.checkpoint })
    expect((await dirty(third)).map(([from]) => from)).toEqual(changed.map(([from]) => from))
    await agent.exports.end(vmId, third.name, true, within())
    await isClean(vmId, [third.checkpoint])
    await expect(openExport(vmId, { since: first.checkpoint })).rejects.toMatchObject({ reason: 'BACKUP_UNSUPPORTED' })
    const whole = await openExport(vmId, { mode: 'full' })
    expect(whole.checkpoint).toBe('')
    await agent.exports.end(vmId, whole.name, true, within())
    await isClean(vmId, [third.checkpoint])
  })

  test('end by themselves at their time, and with their VM; a VM that is off has none', async () => {
    await start()
    const vmId = await create()
    const short = await openExport(vmId, { lifetimeMs: 2_000 })
    await until(async () => (await agent.exports.list(vmId)).length === 0, 60_000)
    await expect(agent.exports.end(vmId, short.name, true, within())).rejects.toMatchObject({
      reason: 'BACKUP_EXPORT_ENDED',
    })
    await isClean(vmId, [])
    const cut = await openExport(vmId)
    await agent.vms.forceStop(vmId, within())
    await expect(agent.exports.end(vmId, cut.name, true, within())).rejects.toMatchObject({
      reason: 'BACKUP_EXPORT_ENDED',
    })
    await isClean(vmId, [])
    await expect(openExport(vmId)).rejects.toMatchObject({
      reason: 'VM_STATE_CONFLICT',
      message: expect.stringContaining('is off') as string,
    })
    await expect(agent.exports.end(vmId, 'never', false, within())).rejects.toMatchObject({
      reason: 'BACKUP_EXPORT_NOT_FOUND',
    })
  })

  test('end although the state of the agent cannot be written; one that is complete waits for that', async () => {
    await start()
    const vmId = await create()
    const store = path.join(base, 'state/store/operations')
    const kept = await openExport(vmId)
    await run('mount', ['--bind', store, store])
    try {
      await run('mount', ['-o', 'remount,bind,ro', store])
      await expect(agent.exports.end(vmId, kept.name, true, within(3))).rejects.toMatchObject({ name: 'TimeoutError' })
      expect(await virsh('backup-dumpxml', vmId)).toContain(kept.socket)
      await run('mount', ['-o', 'remount,bind,rw', store])
      await agent.exports.end(vmId, kept.name, true, within())
      await isClean(vmId, [kept.checkpoint])

      const { jobId, name } = await openExport(vmId)
      await run('mount', ['-o', 'remount,bind,ro', store])
      await agent.exports.end(vmId, name, false, within())
      expect(await agent.operations.wait(jobId, within())).toMatchObject({ error: { reason: 'STATE_NOT_WRITABLE' } })
      await isClean(vmId, [kept.checkpoint])
    } finally {
      await run('umount', ['-l', store])
    }
    // What is on disk still has it open.
    await agent.close()
    await start()
    await Promise.all(agent.operations.list('vm.backup-export').map(({ id }) => agent.operations.wait(id, within())))
    await isClean(vmId, [kept.checkpoint])
  })

  test('outlive the agent: what is open is adopted, and the time goes on', async () => {
    await start()
    const vmId = await create()
    await write(vmId, 'write -P 0xaa 0 4M')
    const opened = await openExport(vmId)
    await agent.close()
    expect((await read(opened)).subarray(0, 4 * MIB).every((byte) => byte === 0xaa)).toBe(true)
    await start()
    await until(async () => (await agent.exports.list(vmId)).length === 1)
    await agent.exports.end(vmId, opened.name, true, within())
    await isClean(vmId, [opened.checkpoint])
    const next = await openExport(vmId, { since: opened.checkpoint })
    expect(await dirty(next)).toEqual([])
    await agent.exports.end(vmId, next.name, false, within())
    const short = await openExport(vmId, { since: opened.checkpoint, lifetimeMs: 3_000 })
    await agent.close()
    await start()
    await until(async () => (await agent.exports.list(vmId)).length === 0, 60_000)
    await agent.operations.wait(short.jobId, within())
    await isClean(vmId, [opened.checkpoint])
  })

  test('of a VM whose host died with one open: another host of the pool reads nothing of that, and loses nothing when it comes back', async () => {
    await start()
    const vmId = await create()
    await write(vmId, 'write -P 0xaa 0 4M')
    const left = await openExport(vmId)
    // QEMU keeps what was there.
    await write(vmId, 'write -P 0xbb 0 2M')
    await agent.close()
    await virsh('domjobabort', vmId)
    const otherBase = await makeBase()
    const other = await openAgent(otherBase, libvirtDir, {
      poolPath: path.join(base, 'pool'),
      imageRoots: [path.join(base, 'images')],
    })
    const isRight = async (opened: BackupExport) => {
      const bytes = await read(opened)
      expect(bytes.subarray(0, 2 * MIB).every((byte) => byte === 0xbb)).toBe(true)
      expect(bytes.subarray(2 * MIB, 4 * MIB).every((byte) => byte === 0xaa)).toBe(true)
    }
    const scratch = async () => (await vmFiles(other)).filter((file) => file.startsWith(`pool/export-${vmId}`))
    try {
      await virsh('checkpoint-delete', vmId, left.checkpoint)
      const request = { vmId, name: 'after', poolId: '', mode: 'incremental', since: '', lifetimeMs: 600_000 } as const
      const opened = await other.exports.open(request, within())
      await isRight(opened)
      expect(await scratch()).toHaveLength(4)
      await start()
      await agent.operations.wait(left.jobId, within())
      expect(await scratch()).toHaveLength(2)
      await write(vmId, 'write -P 0xcc 0 4M')
      await isRight(opened)
      await other.exports.end(vmId, 'after', true, within())
      await isClean(vmId, [opened.checkpoint])
    } finally {
      await other.close()
      await removeBase(otherBase)
    }
  })

  describe.skipIf(noLoops !== undefined)('into a pool that gets full', () => {
    const SCRATCH = 'scratch'
    let mounted: string
    const fill = () => run('sh', ['-c', `dd if=/dev/zero of=${mounted}/filler bs=64k 2>/dev/null || true`])
    let unmount: () => Promise<void>
    beforeEach(async () => {
      mounted = path.join(base, `scratch-${randomUUID()}`)
      unmount = await mountSmall(mounted, 192, libvirtDir)
      await start()
      await initScratch()
    })
    afterEach(async () => {
      await agent.pools.destroy(SCRATCH, context()).finally(unmount)
    })
    const initScratch = () =>
      agent.pools.init({ poolId: SCRATCH, kind: 'LOCAL_DIR', options: { path: mounted } }, context())
    const left = async () => (await readdir(mounted)).filter((name) => name.startsWith('export-'))

    test('they are refused without room, and end when it goes', async () => {
      const vmId = await create()
      await fill()
      await expect(openExport(vmId, { poolId: SCRATCH })).rejects.toMatchObject({ reason: 'POOL_FULL' })
      expect(await left()).toEqual([])
      await isClean(vmId, [])
      await rm(path.join(mounted, 'filler'))
      const { jobId, name } = await openExport(vmId, { poolId: SCRATCH })
      expect(await left()).toHaveLength(2)
      await fill()
      expect(await agent.operations.wait(jobId, within())).toMatchObject({ result: 'no-room' })
      await expect(agent.exports.end(vmId, name, true, within())).rejects.toMatchObject({
        reason: 'BACKUP_EXPORT_ENDED',
        message: expect.stringContaining('no-room') as string,
      })
      expect(await left()).toEqual([])
      await isClean(vmId, [])
      expect((await agent.vms.status(vmId, within())).state).toBe('RUNNING')
    })

    test('one that is complete does not wait until the state of the agent can be written when its room goes', async () => {
      const vmId = await create()
      const { jobId, name } = await openExport(vmId, { poolId: SCRATCH })
      const store = path.join(base, 'state/store/operations')
      await run('mount', ['--bind', store, store])
      try {
        await run('mount', ['-o', 'remount,bind,ro', store])
        const ended = agent.exports.end(vmId, name, true, within(3))
        await expect(ended).rejects.toMatchObject({ name: 'TimeoutError' })
        await fill()
        expect(await agent.operations.wait(jobId, within())).toMatchObject({ error: { reason: 'STATE_NOT_WRITABLE' } })
        expect(await left()).toEqual([])
        await isClean(vmId, [])
        await expect(agent.exports.end(vmId, name, true, within())).rejects.toMatchObject({
          reason: 'BACKUP_EXPORT_ENDED',
        })
      } finally {
        await run('umount', ['-l', store])
      }
    })

    test('a guest that QEMU stopped for them goes on without them', async () => {
      const image = path.join(base, 'images/writer.qcow2')
      await makeDiskGuest(image, 'write', 'first')
      const request = vmRequest({}, { disks: [newDisk({ bus: 'sata', backingFile: image, sizeBytes: 128 * MIB })] })
      const { vmId } = request
      await agent.vms.create(request, within())
      await agent.vms.start(vmId, within())
      const { jobId } = await openExport(vmId, { poolId: SCRATCH })
      await agent.close()
      await fill()
      await until(async () => (await virsh('domstate', vmId, '--reason')).includes('I/O error'), 60_000)
      await start()
      expect(await agent.operations.wait(jobId, within())).toMatchObject({ result: 'io-error' })
      await until(async () => (await agent.vms.status(vmId, within())).state === 'RUNNING')
      expect(await left()).toEqual([])
      await isClean(vmId, [])
      const log = path.join(base, 'state/vms', vmId, 'console.log')
      const before = (await readFile(log, 'utf8')).length
      await until(async () => (await readFile(log, 'utf8')).length > before)
    })
  })

  test('of a disk with a thread of its own are refused where QEMU would not live through them', async () => {
    await start()
    const vmId = await create('virtio')
    expect(await virsh('dumpxml', vmId)).toContain("iothread='1'")
    const { stdout } = await run('qemu-system-x86_64', ['--version'])
    const isOld = Number(/version (\d+)\./.exec(stdout)?.[1]) < 9
    const outcome = openExport(vmId)
    if (isOld) await expect(outcome).rejects.toMatchObject({ reason: 'BACKUP_UNSUPPORTED' })
    else await agent.exports.end(vmId, (await outcome).name, false, within())
    await isClean(vmId, [])
  })

  test('outlive libvirtd', async () => {
    await start()
    const vmId = await create()
    await write(vmId, 'write -P 0xaa 0 4M')
    const opened = await openExport(vmId)
    await killLibvirtd(libvirtDir)
    await startLibvirtd(libvirtDir)
    await agent.client.ready(within())
    await agent.exports.end(vmId, opened.name, true, within())
    await isClean(vmId, [opened.checkpoint])
  })

  test.each(['planned', 'scratch', 'exported', 'ending', 'closed'])(
    'the agent is killed (%s): what nobody was told of is gone after the restart, and what was complete is',
    async (point) => {
      await start()
      const vmId = await create()
      await agent.close()
      const args = [child, base, libvirtDir, 'export', point, vmId, JSON.stringify('killed')]
      await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
      await start()
      await Promise.all(agent.operations.list('vm.backup-export').map(({ id }) => agent.operations.wait(id, within())))
      const isComplete = ['ending', 'closed'].includes(point)
      await isClean(vmId, isComplete ? ['export-killed'] : [])
      if (isComplete) await agent.exports.end(vmId, 'killed', true, within())
      const next = await openExport(vmId, { since: isComplete ? 'export-killed' : '' })
      await agent.exports.end(vmId, next.name, true, within())
      await isClean(vmId, [next.checkpoint])
    },
  )
})
