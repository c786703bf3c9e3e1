import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { Progress } from '../../../src/core/context.ts'
import { readHalves } from '../../../src/domains/domain-halves.ts'
import { chainAt } from '../../../src/domains/layer-state.ts'
import type { MoveRequest } from '../../../src/domains/move/move-request.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { until } from '../../support/until.ts'
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
import { makeDiskGuest } from './disk-guest.ts'
import { missingLoopDevices } from './loop-pool.ts'
import { mountSmall } from './small-file-system.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const noLoops = await requirePrerequisite('loop devices', missingLoopDevices)
const OTHER = 'pool-2'

describe.skipIf(missing !== undefined)('disks that move to another pool', { timeout: 120_000 }, () => {
  let agent: AgentParts
  let boot: string
  let writer: string
  beforeAll(async () => {
    agent = await openAgent(await makeBase(), inject('libvirtDir') ?? '')
    await mkdir(path.join(agent.base, 'pool2'), { mode: 0o711 })
    await agent.pools.init(
      { poolId: OTHER, kind: 'LOCAL_DIR', options: { path: path.join(agent.base, 'pool2') } },
      context(),
    )
    boot = path.join(agent.base, 'images/boot.qcow2')
    writer = path.join(agent.base, 'images/writer.qcow2')
    await makeBootImage(boot, 'ignores')
    await makeDiskGuest(writer, 'write', 'second')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
  })

  const start = async (vmId: string) => {
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
  }
  const create = async (running: boolean) => {
    const disks = [newDisk({ backingFile: boot }), newDisk({ id: 'data', sizeBytes: 32 * MIB })]
    const { vmId } = await agent.vms.create(vmRequest({}, { disks }), within())
    await write(vmId, 'write -P 0xaa 0 16M')
    if (running) await start(vmId)
    return vmId
  }
  const fileOf = async (vmId: string, id = 'data') =>
    (await agent.vms.status(vmId, within())).disks.find((disk) => disk.id === id)?.path ?? ''
  const write = async (vmId: string, command: string) => {
    const file = await fileOf(vmId)
    await run('qemu-io', ['-f', 'qcow2', '-c', command, file])
  }
  const holds = async (file: string, command: string, format = 'qcow2') =>
    !(await run('qemu-io', ['-r', '-U', '-f', format, '-c', command, file])).stdout.includes('verification failed')
  const request = (vmId: string, part: Partial<MoveRequest> = {}): MoveRequest => ({
    vmId,
    diskId: 'data',
    poolId: OTHER,
    bytesPerSecond: 0,
    dropCheckpoints: false,
    ...part,
  })
  const begin = async (vmId: string, part: Partial<MoveRequest> = {}) =>
    (await agent.mover.move(request(vmId, part), within())).id
  const move = async (vmId: string, part: Partial<MoveRequest> = {}) =>
    agent.operations.result(await begin(vmId, part), within())
  /** Volumes of the VM, in both pools. */
  const files = async (vmId: string) => {
    const all = await Promise.all(
      ['pool', 'pool2'].map(async (pool) =>
        (await readdir(path.join(agent.base, pool), { recursive: true }))
          .filter(
            (file) => file.includes(`_${vmId.slice(0, 8)}/`) && /\.(qcow2|raw)$/.test(file) && !file.startsWith('.'),
          )
          .map((file) => `${pool}/${path.basename(file)}`),
      ),
    )
    return all.flat().sort()
  }
  const chains = async (vmId: string, target: string) => {
    const { live, config } = await readHalves(agent.client, vmId, within())
    return { live: live && chainAt(live, target), config: chainAt(config, target) }
  }
  const virsh = async (...args: string[]) =>
    (await run('virsh', ['-q', '-c', `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`, ...args]))
      .stdout

  test('a running VM: the data are there, the old volume is gone, and the next start sees the same', async () => {
    const vmId = await create(true)
    expect(await move(vmId)).toMatchObject({ poolId: OTHER })
    const file = await fileOf(vmId)
    expect(file.startsWith(path.join(agent.base, 'pool2'))).toBe(true)
    expect(await chains(vmId, 'vdb')).toEqual({ live: [file], config: [file] })
    expect(await files(vmId)).toEqual(['pool/root.qcow2', 'pool2/data.qcow2'])
    await agent.vms.forceStop(vmId, within())
    expect(await holds(file, 'read -P 0xaa 0 16M')).toBe(true)
    await start(vmId)
    await expect(agent.pools.destroy(OTHER, context())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    expect(await move(vmId, { poolId: POOL })).toMatchObject({ poolId: POOL })
    expect(await files(vmId)).toEqual(['pool/data.qcow2', 'pool/root.qcow2'])
    await agent.vms.delete(vmId, within())
    expect(await files(vmId)).toEqual([])
  })

  const qemuIo = (vmId: string, command: string) =>
    virsh(
      'qemu-monitor-command',
      vmId,
      '--hmp',
      `qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "${command}"`,
    )

  test('what is written while it is copied is in the new volume, progress is told, and libvirt sees one disk', async () => {
    const vmId = await create(true)
    const seen: Progress[] = []
    const id = await begin(vmId, { bytesPerSecond: 4 * MIB })
    const stop = agent.operations.watch(id, ({ progress }) => progress && seen.push(progress))
    await until(() => Promise.resolve(seen.some(({ bytesDone = 0 }) => bytesDone > 0)))
    await qemuIo(vmId, 'write -P 0xbb 1M 1M')
    await qemuIo(vmId, 'write -P 0xcc 30M 1M')
    const twin = await begin(vmId)
    expect(twin).toBe(id)
    await expect(begin(vmId, { poolId: POOL })).rejects.toMatchObject({ reason: 'CONFLICT' })
    await expect(agent.pools.destroy(OTHER, context())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    await agent.operations.result(id, within())
    stop()
    const copied = seen.filter(({ phase }) => phase === 'copying').map(({ bytesDone = 0 }) => bytesDone)
    expect(new Set(copied).size).toBeGreaterThan(2)
    await qemuIo(vmId, 'write -P 0xdd 4M 1M')
    const file = await fileOf(vmId)
    await agent.vms.forceStop(vmId, within())
    const reads: Readonly<Record<string, string>> = {
      '0xaa': '0 1M',
      '0xbb': '1M 1M',
      '0xdd': '4M 1M',
      '0xcc': '30M 1M',
    }
    for (const [pattern, where] of Object.entries(reads))
      expect(await holds(file, `read -P ${pattern} ${where}`), where).toBe(true)
    await run('qemu-img', ['check', '-q', file])
    await agent.vms.delete(vmId, within())
  })

  test('a guest that writes all the time goes on writing, without an error', async () => {
    const disks = [newDisk({ backingFile: writer }), newDisk({ id: 'data', sizeBytes: 64 * MIB })]
    const { vmId } = await agent.vms.create(vmRequest({}, { disks }), within())
    await agent.vms.start(vmId, within())
    const log = async () => readFile(path.join(agent.base, 'state/vms', vmId, 'console.log'), 'latin1').catch(() => '')
    const writes = async () => (await log()).split('.').length
    await until(async () => (await writes()) > 20)
    await move(vmId)
    const now = await writes()
    await until(async () => (await writes()) > now + 20)
    expect((await log()).replace(/[^.E]/g, '')).not.toContain('E')
    await agent.vms.forceStop(vmId, within())
    await run('qemu-img', ['check', '-q', await fileOf(vmId)])
    await agent.vms.delete(vmId, within())
  })

  test('a cancelled move: the guest goes on with the old volume, and nothing is left of the new one', async () => {
    const vmId = await create(true)
    const [file, before] = [await fileOf(vmId), await files(vmId)]
    const id = await begin(vmId, { bytesPerSecond: MIB })
    await until(
      async () =>
        (await chains(vmId, 'vdb')).live !== undefined &&
        (await virsh('blockjob', vmId, 'vdb', '--raw')).includes('Block Copy'),
    )
    const record = await agent.operations.cancel(id, within())
    expect(record.state).toBe('cancelled')
    expect(await files(vmId)).toEqual(before)
    expect(await chains(vmId, 'vdb')).toEqual({ live: [file], config: [file] })
    await qemuIo(vmId, 'write -P 0xbb 1M 1M')
    await agent.vms.forceStop(vmId, within())
    expect(await holds(file, 'read -P 0xbb 1M 1M')).toBe(true)
    expect(await move(vmId)).toMatchObject({ poolId: OTHER })
    await agent.vms.delete(vmId, within())
  })

  test('a disk is told from another one whose id is its name in the domain', async () => {
    const disks = [newDisk({ id: 'vdb', backingFile: boot }), newDisk({ id: 'data', sizeBytes: 32 * MIB })]
    const { vmId } = await agent.vms.create(vmRequest({}, { disks }), within())
    await write(vmId, 'write -P 0xaa 0 16M')
    await start(vmId)
    const root = await fileOf(vmId, 'vdb')
    expect(await move(vmId)).toMatchObject({ poolId: OTHER })
    expect(await fileOf(vmId, 'vdb')).toBe(root)
    const file = await fileOf(vmId)
    expect(await chains(vmId, 'vdb')).toEqual({ live: [file], config: [file] })
    await agent.vms.forceStop(vmId, within())
    expect(await holds(file, 'read -P 0xaa 0 16M')).toBe(true)
    await agent.vms.delete(vmId, within())
  })

  test('a VM that is off: the storage copies, the next start has the new volume', async () => {
    const vmId = await create(false)
    expect(await move(vmId)).toMatchObject({ poolId: OTHER })
    expect(await files(vmId)).toEqual(['pool/root.qcow2', 'pool2/data.qcow2'])
    expect(await holds(await fileOf(vmId), 'read -P 0xaa 0 16M')).toBe(true)
    expect(await move(vmId)).toMatchObject({ poolId: OTHER })
    await start(vmId)
    await agent.vms.delete(vmId, within())
    expect(await files(vmId)).toEqual([])
  })

  test.each([true, false])('a disk on a cloud image stands alone afterwards (running: %s)', async (running) => {
    const vmId = await create(running)
    await move(vmId, { diskId: 'vda' })
    const file = await fileOf(vmId, 'root')
    expect((await run('qemu-img', ['info', '-U', file])).stdout).not.toContain('backing file')
    expect((await chains(vmId, 'vda')).config).toEqual([file])
    await agent.vms.forceStop(vmId, within())
    await start(vmId)
    await agent.vms.delete(vmId, within())
  })

  test.skipIf(noLoops !== undefined)(
    'a pool that gets full while QEMU copies: the guest goes on with the old volume, nothing is left',
    async () => {
      const place = path.join(agent.base, 'small')
      const unmount = await mountSmall(place, 64, inject('libvirtDir') ?? '')
      try {
        await agent.pools.init({ poolId: 'small', kind: 'LOCAL_DIR', options: { path: place } }, context())
        const vmId = await create(false)
        // More than QEMU has under way at once.
        await write(vmId, 'write -P 0xaa 0 32M')
        await start(vmId)
        const [file, before] = [await fileOf(vmId), await files(vmId)]
        const id = await begin(vmId, { poolId: 'small', bytesPerSecond: MIB })
        await until(async () => (await virsh('blockjob', vmId, 'vdb', '--raw')).includes('Block Copy'))
        const filler = path.join(place, 'filler')
        await expect(run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k', 'count=2000'])).rejects.toThrow(
          'No space left',
        )
        await expect(agent.operations.result(id, within())).rejects.toMatchObject({ reason: 'DISK_MOVE_FAILED' })
        expect((await readdir(place, { recursive: true })).filter((name) => name.endsWith('.qcow2'))).toEqual([])
        expect(await files(vmId)).toEqual(before)
        expect(await chains(vmId, 'vdb')).toEqual({ live: [file], config: [file] })
        await qemuIo(vmId, 'write -P 0xbb 20M 1M')
        // What has no room is refused before it begins.
        const full = await begin(vmId, { poolId: 'small' })
        await expect(agent.operations.result(full, within())).rejects.toMatchObject({ reason: 'POOL_FULL' })
        await rm(filler)
        await move(vmId, { poolId: 'small' })
        await agent.vms.forceStop(vmId, within())
        expect(await holds(await fileOf(vmId), 'read -P 0xbb 20M 1M')).toBe(true)
        await agent.vms.delete(vmId, within())
        await agent.pools.destroy('small', context())
      } finally {
        await unmount()
      }
    },
  )

  test('a disk that is open past the page cache does not go where that cannot be, until the VM is off', async () => {
    const place = path.join(agent.base, 'memory')
    await mkdir(place)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0711', 'tmpfs', place])
    try {
      await agent.pools.init({ poolId: 'memory', kind: 'LOCAL_DIR', options: { path: place } }, context())
      const vmId = await create(true)
      const before = await files(vmId)
      await expect(move(vmId, { poolId: 'memory' })).rejects.toMatchObject({ reason: 'DISK_MOVE_REFUSED' })
      expect(await files(vmId)).toEqual(before)
      await agent.vms.forceStop(vmId, within())
      await move(vmId, { poolId: 'memory' })
      expect(await virsh('dumpxml', '--inactive', vmId)).toMatch(/cache='writeback'[^>]*io='threads'/)
      await agent.vms.delete(vmId, within())
    } finally {
      await run('umount', ['-l', place])
    }
  })

  describe('what is in the way is named, and nothing changes', () => {
    const refused = async (vmId: string, reason: string, text: string) => {
      const before = [await files(vmId), await chains(vmId, 'vdb')]
      await expect(begin(vmId)).rejects.toMatchObject({ reason, message: expect.stringContaining(text) as string })
      expect([await files(vmId), await chains(vmId, 'vdb')]).toEqual(before)
    }

    test('snapshots, inside the file and over it', async () => {
      const vmId = await create(false)
      await agent.snapshots.create(vmId, { name: 'before', description: '', includeMemory: false }, within())
      await refused(vmId, 'DISK_MOVE_REFUSED', '"before"')
      await agent.snapshots.delete(vmId, 'before', within())
      await start(vmId)
      await agent.snapshots.create(vmId, { name: 'live', description: '', includeMemory: false }, within())
      await refused(vmId, 'DISK_MOVE_REFUSED', '"live"')
      await agent.snapshots.delete(vmId, 'live', within())
      await move(vmId)
      await agent.vms.delete(vmId, within())
    })

    test('snapshots of the volume', async () => {
      const vmId = await create(false)
      const volumes = createVolumeManager(agent.pools)
      const volume = `vms/vm-${vmId.slice(0, 8)}_${vmId.slice(0, 8)}/data`
      await volumes.createSnapshot(POOL, volume, 'of-the-volume', context())
      await refused(vmId, 'DISK_MOVE_REFUSED', 'of-the-volume')
      await agent.vms.delete(vmId, within())
    })

    test('linked clones', async () => {
      const vmId = await create(false)
      const labels = { 'cloned-from': vmId, 'clone-type': 'LINKED' }
      const disks = [newDisk(), newDisk({ id: 'data', sizeBytes: 32 * MIB })]
      const clone = await agent.vms.create(vmRequest({ labels }, { disks }), within())
      await refused(vmId, 'VOLUME_IN_USE', clone.vmId)
      // The clone itself takes what it stands on along.
      await move(clone.vmId)
      expect(await holds(await fileOf(clone.vmId), 'read -P 0xaa 0 16M')).toBe(true)
      await move(vmId)
      for (const each of [clone.vmId, vmId]) await agent.vms.delete(each, within())
    })

    test('saved memory', async () => {
      const vmId = await create(true)
      await agent.vms.save(vmId, within())
      await refused(vmId, 'VM_STATE_CONFLICT', 'saved memory')
      await agent.vms.delete(vmId, within())
    })

    test('checkpoints, until they are given up: the next backup is whole', async () => {
      const vmId = await create(true)
      const backup = async (name: string) => {
        const { id } = await agent.backups.create({ vmId, name, poolId: POOL, mode: 'incremental' }, within())
        return agent.operations.result<{ parent: string }>(id, within())
      }
      await backup('first')
      await refused(vmId, 'DISK_MOVE_REFUSED', '"backup-first"')
      await move(vmId, { dropCheckpoints: true })
      expect((await backup('second')).parent).toBe('')
      await agent.vms.delete(vmId, within())
    })

    test('a block job of somebody else', async () => {
      const vmId = await create(true)
      const foreign = path.join(agent.base, 'pool/foreign.qcow2')
      await virsh('blockcopy', vmId, 'vdb', '--dest', foreign, '--format', 'qcow2', '--transient-job')
      await refused(vmId, 'VM_STATE_CONFLICT', '(copy)')
      await virsh('blockjob', vmId, 'vdb', '--abort')
      const overlay = path.join(agent.base, 'pool/overlay.qcow2')
      await virsh(
        'snapshot-create-as',
        vmId,
        '--no-metadata',
        '--disk-only',
        '--diskspec',
        `vdb,file=${overlay}`,
        '--diskspec',
        'vda,snapshot=no',
      )
      // Until it is in step: before that libvirt switches no guest.
      await virsh('blockcommit', vmId, 'vdb', '--active', '--wait')
      await refused(vmId, 'VM_STATE_CONFLICT', '(active_commit)')
      await virsh('blockjob', vmId, 'vdb', '--pivot')
      await move(vmId)
      await agent.vms.delete(vmId, within())
    })

    test('a VM that is not ours, a disk it has not, a pool there is not, a volume of that name', async () => {
      const vmId = await create(false)
      await expect(begin(vmId, { diskId: 'none' })).rejects.toMatchObject({ reason: 'DISK_NOT_FOUND' })
      await expect(begin(vmId, { poolId: 'nowhere' })).rejects.toMatchObject({ reason: 'POOL_NOT_FOUND' })
      const name = `vms/vm-${vmId.slice(0, 8)}_${vmId.slice(0, 8)}/data`
      const spec = { name, format: 'qcow2', sizeBytes: MIB, content: { type: 'empty' }, owner: 'somebody' } as const
      const volumes = createVolumeManager(agent.pools)
      await volumes.create(OTHER, spec, context())
      await refused(vmId, 'CONFLICT', name)
      await volumes.delete(OTHER, name, context())
      await agent.vms.delete(vmId, within())
    })
  })
})
