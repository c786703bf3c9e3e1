import { execFile } from 'node:child_process'
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { DiskSpec } from '../../../src/core/model.ts'
import { readHalves } from '../../../src/domains/domain-halves.ts'
import { chainAt } from '../../../src/domains/layer-state.ts'
import { LibvirtGone } from '../../../src/libvirt/errors.ts'
import type { MoveJournal } from '../../../src/domains/move/move-journal.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { until } from '../../support/until.ts'
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
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
  type OpenOptions,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { killLibvirtd, startLibvirtd, stopLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')
const OTHER = 'pool-2'
const COPY = 'remote:DOMAIN_BLOCK_COPY'
const PIVOT = 'remote:DOMAIN_BLOCK_JOB_ABORT'
const DEFINE = 'remote:DOMAIN_DEFINE_XML_FLAGS'
const NOTE = 'remote:DOMAIN_SET_METADATA'
const LOOK = 'remote:DOMAIN_GET_BLOCK_JOB_INFO'

describe.skipIf(missing !== undefined)('moves of disks while something dies', { timeout: 240_000 }, () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let agent: AgentParts
  beforeAll(async () => {
    base = await makeBase()
    await mkdir(path.join(base, 'pool2'), { mode: 0o711 })
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
  })
  afterEach(async () => {
    await startLibvirtd(libvirtDir)
    await agent.client.ready(within())
    await endAgent(agent)
  })
  afterAll(() => removeBase(base))

  const open = async ({
    beforeRecovery: before,
    isAway = false,
    ...options
  }: OpenOptions & { isAway?: boolean } = {}) => {
    agent = await openAgent(base, libvirtDir, {
      ...options,
      beforeRecovery: async (parts) => {
        const options = { path: path.join(base, 'pool2') }
        if (!isAway) await parts.pools.init({ poolId: OTHER, kind: 'LOCAL_DIR', options }, context())
        await before?.(parts)
      },
    })
  }
  const start = async (vmId: string) => {
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
  }
  const diskOf = async (vmId: string) => {
    await agent.inventory.settle(vmId)
    const disk = (await agent.vms.status(vmId, within())).disks.find(({ id }) => id === 'data')
    return disk?.path ?? ''
  }
  const create = async (running: boolean) => {
    const disks = [
      newDisk({ backingFile: path.join(base, 'images/boot.qcow2') }),
      newDisk({ id: 'data', sizeBytes: 16 * MIB }),
    ]
    const { vmId } = await agent.vms.create(vmRequest({}, { disks }), within())
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xaa 0 8M', await diskOf(vmId)])
    if (running) await start(vmId)
    return vmId
  }
  const virsh = async (...args: string[]) =>
    (await run('virsh', ['-q', '-c', `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock`, ...args])).stdout
  const guestWrites = (vmId: string) =>
    virsh(
      'qemu-monitor-command',
      vmId,
      '--hmp',
      'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "write -P 0xbb 1M 1M"',
    )
  const begin = async (vmId: string, bytesPerSecond = 0) =>
    (await agent.mover.move({ vmId, diskId: 'data', poolId: OTHER, bytesPerSecond, dropCheckpoints: false }, within()))
      .id
  const settled = async () => {
    for (const { id } of agent.operations.list()) await agent.operations.wait(id, within(180))
  }
  const places = async (vmId: string) => {
    const found = await Promise.all(
      ['pool', 'pool2'].map(async (pool) =>
        (await readdir(path.join(base, pool), { recursive: true })).filter(
          (file) => file.endsWith('data.qcow2') && file.startsWith('vms/') && file.includes(vmId.slice(0, 8)),
        ).length === 0
          ? []
          : [pool],
      ),
    )
    return found.flat()
  }
  /** The VM has its disk in exactly one pool, where all that was written is, and starts with it. */
  const isWhole = async (vmId: string, where: 'pool' | 'pool2', late: boolean) => {
    await settled()
    const file = await diskOf(vmId)
    expect(file.startsWith(`${path.join(base, where)}/`)).toBe(true)
    expect(await places(vmId)).toEqual([where])
    const { live, config } = await readHalves(agent.client, vmId, within())
    expect(chainAt(config, 'vdb')).toEqual([file])
    if (live !== undefined) expect(chainAt(live, 'vdb')).toEqual([file])
    await agent.vms.forceStop(vmId, within())
    const reads = late ? ['read -P 0xaa 0 1M', 'read -P 0xbb 1M 1M', 'read -P 0xaa 2M 6M'] : ['read -P 0xaa 0 8M']
    const { stdout } = await run('qemu-io', ['-r', '-f', 'qcow2', ...reads.flatMap((each) => ['-c', each]), file])
    expect(stdout).not.toContain('verification failed')
    await start(vmId)
    await agent.vms.delete(vmId, within())
    expect(await places(vmId)).toEqual([])
  }

  const killedAt = async (point: string, vmId: string) => {
    await agent.close()
    const move = JSON.stringify({ diskId: 'data', poolId: OTHER })
    const args = [child, base, libvirtDir, 'move', point, vmId, move]
    await expect(run(process.execPath, args, { timeout: 120_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
  }

  test.each(
    moments([
      ['planned', true],
      ['volume', true],
      [`before ${COPY}`, true],
      [`in ${COPY}`, true],
      [`after ${COPY}`, true],
      ['switching', true],
      [`in ${PIVOT}`, true],
      [`after ${PIVOT}`, true],
      ['switched', true],
      [`after ${NOTE}`, true],
      [`before ${DEFINE}`, true],
      [`after ${DEFINE}`, true],
      ['defined', true],
      ['planned', false],
      ['copied', false],
      [`before ${DEFINE}`, false],
      [`after ${DEFINE}`, false],
      ['defined', false],
    ]),
  )('the agent (%s, running: %s): the next start brings the disk over', async (point, running) => {
    await open()
    const vmId = await create(running)
    await killedAt(point, vmId)
    // What the guest writes while there is no agent is not lost.
    if (running) await guestWrites(vmId)
    await open()
    await isWhole(vmId, 'pool2', running)
  })

  test.each(moments([`after ${COPY}`, 'switching', 'switched']))(
    'the agent (%s), and the VM goes off before the next start',
    async (point) => {
      await open()
      const vmId = await create(true)
      await killedAt(point, vmId)
      await guestWrites(vmId)
      await virsh('destroy', vmId)
      await open()
      await isWhole(vmId, 'pool2', true)
    },
  )

  test('the agent is stopped in the middle and comes back', async () => {
    await open()
    const vmId = await create(true)
    await begin(vmId, MIB)
    await agent.close()
    await guestWrites(vmId)
    await open()
    await isWhole(vmId, 'pool2', true)
  })

  describe('libvirtd', () => {
    const dying = async (name: string, dies: 'before' | 'within' | 'after') => {
      let during: string | undefined = name
      const restart = async () => {
        await killLibvirtd(libvirtDir)
        await startLibvirtd(libvirtDir)
      }
      await open({
        aroundCall: async (called, call) => {
          if (called !== during) return call()
          during = undefined
          if (dies === 'after') {
            const answer = await call()
            await restart()
            return answer
          }
          if (dies === 'before') await stopLibvirtd(libvirtDir)
          const answer = call()
          if (dies === 'within') await pause(10)
          const [result] = await Promise.allSettled([answer, restart()])
          if (result.status === 'rejected') throw result.reason
          return result.value
        },
      })
    }

    test.each(
      moments([
        [COPY, 'before', true],
        [COPY, 'within', true],
        [COPY, 'after', true],
        [PIVOT, 'before', true],
        [PIVOT, 'within', true],
        [PIVOT, 'after', true],
        [DEFINE, 'before', false],
      ] as const),
    )('dies (%s, %s, running: %s): the disk is in one pool, whole', async (name, dies, running) => {
      // The VM is made without trouble.
      await open()
      const vmId = await create(running)
      await agent.close()
      await dying(name, dies)
      const id = await begin(vmId)
      const { state, error } = await agent.operations.wait(id, within(180))
      expect([state, error]).toEqual(['completed', undefined])
      if (running) await guestWrites(vmId)
      await isWhole(vmId, 'pool2', running)
    })
  })

  test('the VM goes off while QEMU copies: it is copied on as one that is off', async () => {
    await open()
    const vmId = await create(true)
    const id = await begin(vmId, MIB)
    await guestWrites(vmId)
    await agent.vms.forceStop(vmId, within())
    expect((await agent.operations.wait(id, within(180))).state).toBe('completed')
    await isWhole(vmId, 'pool2', true)
  })

  const theMove = () => agent.operations.list('vm.move-disk').at(-1)

  describe('nothing tells which volume is the newer one: both stay, and the job names them', () => {
    const isUndecided = async (vmId: string, more: string) => {
      await settled()
      const { state, error } = theMove() ?? {}
      expect([state, error?.reason]).toEqual(['failed', 'DISK_CHAIN_BROKEN'])
      for (const text of [path.join(base, 'pool/'), path.join(base, 'pool2/'), `pool ${POOL}`, `pool ${OTHER}`, more])
        expect(error?.message).toContain(text)
      expect(await places(vmId)).toEqual(['pool', 'pool2'])
      expect(agent.operations.list('vm.disk-cleanup').filter(({ state: now }) => now !== 'completed')).toEqual([])
      expect(await diskOf(vmId)).toContain(path.join(base, 'pool/'))
    }

    test('the copy came to nothing after the agent had died, the guest went on with the old volume and went off', async () => {
      await open()
      const vmId = await create(true)
      await killedAt('switching', vmId)
      await virsh('blockjob', vmId, 'vdb', '--abort')
      await guestWrites(vmId)
      await virsh('destroy', vmId)
      await open()
      await isUndecided(vmId, 'differ')
    })

    test('QEMU switched, libvirt did not write it down, and the VM went off', async () => {
      await open()
      const vmId = await create(true)
      const old = path.join(base, 'old.xml')
      await writeFile(old, await virsh('dumpxml', '--inactive', '--security-info', vmId))
      await killedAt('switching', vmId)
      await virsh('blockjob', vmId, 'vdb', '--pivot')
      await guestWrites(vmId)
      await virsh('destroy', vmId)
      await virsh('define', old)
      await open()
      await isUndecided(vmId, 'differ')
    })

    test('the agent saw QEMU switch, and somebody started the VM with the old volume before it came back', async () => {
      await open()
      const vmId = await create(true)
      const old = path.join(base, 'old.xml')
      await writeFile(old, await virsh('dumpxml', '--inactive', '--security-info', vmId))
      await killedAt('switched', vmId)
      await guestWrites(vmId)
      await virsh('destroy', vmId)
      await virsh('define', old)
      await virsh('start', vmId)
      await open()
      await isUndecided(vmId, 'started')
    })

    test.each(['switching', 'switched'])('the VM is gone from libvirt (%s)', async (point) => {
      await open()
      const vmId = await create(true)
      await killedAt(point, vmId)
      await virsh('destroy', vmId)
      await virsh('undefine', vmId)
      await open()
      await settled()
      expect(theMove()).toMatchObject({ state: 'failed', error: { reason: 'DISK_CHAIN_BROKEN' } })
      expect(await places(vmId)).toEqual(['pool', 'pool2'])
    })
  })

  test('the VM is gone from libvirt before it was switched: its volume stays, the copy goes', async () => {
    await open()
    const vmId = await create(true)
    await killedAt(`after ${COPY}`, vmId)
    await virsh('destroy', vmId)
    await virsh('undefine', vmId)
    await open()
    await settled()
    expect(theMove()).toMatchObject({ state: 'failed', error: { reason: 'VM_NOT_FOUND' } })
    expect(await places(vmId)).toEqual(['pool'])
  })

  test('the agent saw QEMU switch, libvirt did not write it down, and the VM went off: the copy is its disk', async () => {
    await open()
    const vmId = await create(true)
    const old = path.join(base, 'old.xml')
    await writeFile(old, await virsh('dumpxml', '--inactive', '--security-info', vmId))
    await killedAt('switched', vmId)
    await guestWrites(vmId)
    await virsh('destroy', vmId)
    await virsh('define', old)
    await open()
    await isWhole(vmId, 'pool2', true)
  })

  test('the agent, when the VM is defined with its copy, and the new pool is away at the next start', async () => {
    await open()
    const vmId = await create(false)
    await killedAt(`after ${DEFINE}`, vmId)
    const [there, away] = [path.join(base, 'pool2'), path.join(base, 'pool2.away')]
    await rename(there, away)
    try {
      await open({ isAway: true })
      // It has looked where the disk is, and waits for the pool.
      await until(() => Promise.resolve((theMove()?.journal as MoveJournal).phase !== 'copying'))
      expect(theMove()).toMatchObject({ state: 'running', journal: { phase: 'switched' } })
      expect(agent.operations.list('vm.disk-cleanup').filter(({ state }) => state !== 'completed')).toEqual([])
      expect(await readdir(away)).toContain('vms')
    } finally {
      await rename(away, there)
    }
    await isWhole(vmId, 'pool2', false)
  })

  test.each(['before', 'while'])('somebody starts the VM %s it is defined with its copy', async (when) => {
    let isDue = false
    let vmId = ''
    await open({
      aroundCall: async (name, call) => {
        if (!isDue || name !== DEFINE) return call()
        isDue = false
        const started = virsh('start', vmId)
        if (when === 'before') await started
        else await until(() => hasQemu(vmId))
        const answer = await call()
        await started
        return answer
      },
    })
    vmId = await create(false)
    isDue = true
    const id = await begin(vmId)
    expect(await agent.operations.wait(id, within(180))).toMatchObject({ state: 'completed' })
    await guestWrites(vmId)
    await isWhole(vmId, 'pool2', true)
  })

  const hasQemu = async (vmId: string) => {
    const found = await run('pgrep', ['-f', `qemu-system.*${vmId}`]).catch(() => undefined)
    return found !== undefined
  }

  describe('somebody changes the volume of a VM that is off', () => {
    const volumeOf = (vmId: string) => `vms/vm-${vmId.slice(0, 8)}_${vmId.slice(0, 8)}/data`
    const changing = async (step: string, change: (volume: string) => Promise<unknown>) => {
      let [isDue, vmId] = [false, '']
      await open({
        afterStep: (name) => {
          if (name === step) isDue = vmId !== ''
        },
        aroundCall: async (_name, call) => {
          if (isDue) {
            isDue = false
            await change(volumeOf(vmId))
          }
          return call()
        },
      })
      vmId = await create(false)
      return { vmId, record: await agent.operations.wait(await begin(vmId), within()) }
    }
    const snapshot = (volume: string) =>
      createVolumeManager(agent.pools).createSnapshot(POOL, volume, 'during', context())

    test('a snapshot of it while it is copied: the move is refused, the snapshot stays', async () => {
      const { vmId, record } = await changing('copied', snapshot)
      expect(record).toMatchObject({ state: 'failed', error: { reason: 'DISK_MOVE_REFUSED' } })
      expect(record.error?.message).toContain('"during"')
      expect(await createVolumeManager(agent.pools).listSnapshots(POOL, volumeOf(vmId), context())).toHaveLength(1)
      await isWhole(vmId, 'pool', false)
    })

    test('a snapshot of it when the disk has moved: the old volume stays with it', async () => {
      const { vmId, record } = await changing('defined', snapshot)
      expect(record).toMatchObject({ state: 'completed' })
      expect(await places(vmId)).toEqual(['pool', 'pool2'])
      expect(await createVolumeManager(agent.pools).listSnapshots(POOL, volumeOf(vmId), context())).toHaveLength(1)
      expect(await diskOf(vmId)).toContain(path.join(base, 'pool2/'))
      await createVolumeManager(agent.pools).delete(POOL, volumeOf(vmId), context())
      await isWhole(vmId, 'pool2', false)
    })

    test('it grows: it is copied again as it is now', async () => {
      const { vmId, record } = await changing('copied', (volume) =>
        createVolumeManager(agent.pools).resize(POOL, volume, 24 * MIB, context()),
      )
      expect([record.state, record.error]).toEqual(['completed', undefined])
      const { stdout } = await run('qemu-img', ['info', '--output', 'json', await diskOf(vmId)])
      expect(JSON.parse(stdout)).toMatchObject({ 'virtual-size': 24 * MIB })
      await isWhole(vmId, 'pool2', false)
    })
  })

  test('a block job of somebody else begins first: nothing is left of the new volume, and afterwards it moves', async () => {
    let isDue = false
    let vmId = ''
    const foreign = path.join(base, 'pool/foreign.qcow2')
    await open({
      aroundCall: async (name, call) => {
        if (isDue && name === COPY) {
          isDue = false
          await virsh('blockcopy', vmId, 'vdb', '--dest', foreign, '--format', 'qcow2', '--transient-job')
        }
        return call()
      },
    })
    vmId = await create(true)
    isDue = true
    const record = await agent.operations.wait(await begin(vmId), within())
    expect(record).toMatchObject({ state: 'failed', error: { reason: 'VM_STATE_CONFLICT' } })
    expect(await places(vmId)).toEqual(['pool'])
    await expect(begin(vmId)).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await virsh('blockjob', vmId, 'vdb', '--abort')
    expect(await agent.operations.wait(await begin(vmId), within())).toMatchObject({ state: 'completed' })
    await guestWrites(vmId)
    await isWhole(vmId, 'pool2', true)
  })

  test('cancelled after a restart while libvirtd is away: the guest is on one volume, the other one goes', async () => {
    await open()
    const vmId = await create(true)
    await killedAt('switching', vmId)
    await guestWrites(vmId)
    await open({ beforeRecovery: () => killLibvirtd(libvirtDir) })
    const { id = '' } = theMove() ?? {}
    const cancelled = agent.operations.cancel(id, within(180))
    await startLibvirtd(libvirtDir)
    expect(await cancelled).toMatchObject({ state: 'cancelled' })
    expect(await virsh('blockjob', vmId, 'vdb')).not.toContain('Block Copy')
    await isWhole(vmId, 'pool', true)
  })

  test('cancelled while libvirtd is away, and the agent is restarted before it is back: it is not gone on with', async () => {
    await open()
    const vmId = await create(true)
    await killedAt('switching', vmId)
    await guestWrites(vmId)
    await open({ beforeRecovery: () => killLibvirtd(libvirtDir) })
    const { id = '' } = theMove() ?? {}
    // Never answered by this agent.
    void agent.operations.cancel(id, within(180)).catch(() => undefined)
    await until(() => Promise.resolve((theMove()?.journal as MoveJournal).unwanted))
    await agent.close()
    await startLibvirtd(libvirtDir)
    await open()
    await isWhole(vmId, 'pool', true)
    expect(theMove()).toMatchObject({ state: 'failed', error: { reason: 'ABORTED_BY_RESTART' } })
  })

  test('libvirt is lost for a moment after a restart: what was copied is not copied again', async () => {
    await open()
    const vmId = await create(true)
    await killedAt(`after ${COPY}`, vmId)
    await guestWrites(vmId)
    let [copies, isLost] = [0, false]
    const aroundCall = async (name: string, call: () => Promise<unknown>) => {
      if (name === COPY) copies++
      if (name !== LOOK || isLost) return call()
      isLost = true
      throw new LibvirtGone(name, true, 'lost')
    }
    await open({ aroundCall })
    await isWhole(vmId, 'pool2', true)
    expect([copies, isLost]).toEqual([0, true])
  })

  describe('leases on a VM whose disk leaves a shared pool', () => {
    const leases = async () => {
      const found = await Promise.all(
        ['pool', 'pool2'].map(async (pool) => {
          const files = await readdir(path.join(base, pool, '.limiquantix/leases')).catch(() => [])
          return files.some((file) => file.includes('lqx-lease')) ? [pool] : []
        }),
      )
      return found.flat()
    }
    const running = async (more: readonly DiskSpec[] = []) => {
      await open({ sharedAs: 'host-a' })
      const disks = [newDisk({ id: 'data', backingFile: path.join(base, 'images/boot.qcow2') }), ...more]
      const { vmId } = await agent.vms.create(vmRequest({}, { disks }), within())
      await start(vmId)
      expect(await leases()).toEqual(['pool'])
      return vmId
    }

    test('it runs: the lease goes along, and ends with the guest', async () => {
      const vmId = await running()
      expect(await agent.operations.wait(await begin(vmId), within())).toMatchObject({ state: 'completed' })
      expect(await leases()).toEqual(['pool2'])
      await agent.vms.forceStop(vmId, within())
      await until(async () => (await leases()).length === 0)
    })

    test('it has another disk there: it has both leases, until it goes off', async () => {
      const vmId = await running([newDisk({ id: 'other' })])
      expect(await agent.operations.wait(await begin(vmId), within())).toMatchObject({ state: 'completed' })
      expect(await leases()).toEqual(['pool', 'pool2'])
      await agent.vms.forceStop(vmId, within())
      await until(async () => (await leases()).length === 0)
    })

    test('it goes off while QEMU copies: none is left', async () => {
      const vmId = await running()
      const id = await begin(vmId, MIB / 4)
      await until(async () => (await virsh('blockjob', vmId, 'vda', '--raw')).includes('Block Copy'))
      expect(await leases()).toEqual(['pool', 'pool2'])
      await agent.vms.forceStop(vmId, within())
      expect(await agent.operations.wait(id, within())).toMatchObject({ state: 'completed' })
      await until(async () => (await leases()).length === 0)
    })
  })
})
