import { execFile } from 'node:child_process'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { imageInfo } from '../../../src/storage/qemu-img.ts'
import { moments } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
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
const CREATE = 'remote:DOMAIN_SNAPSHOT_CREATE_XML'
const DELETE = 'remote:DOMAIN_SNAPSHOT_DELETE'
const REVERT = 'remote:DOMAIN_REVERT_TO_SNAPSHOT'

describe.skipIf(missing !== undefined)('snapshots while something dies', () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let agent: AgentParts
  beforeAll(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
  })
  afterAll(() => removeBase(base))

  const open = async (options: OpenOptions = {}) => {
    agent = await openAgent(base, libvirtDir, { undoWaitMs: 500, ...options })
  }
  const create = async (running: boolean) => {
    const request = vmRequest(
      {},
      { disks: [newDisk({ backingFile: path.join(base, 'images/boot.qcow2') }), newDisk({ id: 'data' })] },
    )
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  const take = (vmId: string, name: string) =>
    agent.snapshots.create(vmId, { name, description: '', includeMemory: true }, within())
  const settled = (kind: string) =>
    Promise.all(agent.operations.list(kind).map(({ id }) => agent.operations.wait(id, within())))
  /** Names of the snapshots: those that libvirt knows, and those inside each disk, which are to be the same. */
  const snapshotsOf = async (vmId: string) => {
    const known = (await agent.snapshots.list(vmId, within())).map(({ id }) => id).sort()
    for (const { path: file } of (await agent.vms.status(vmId, within())).disks) {
      const inside = (await imageInfo(file, 'qcow2', context())).snapshots.map(({ name }) => name).sort()
      expect(inside, file).toEqual(known)
    }
    return known
  }
  const worksOn = async (vmId: string) => {
    await agent.vms.forceStop(vmId, within())
    await agent.vms.start(vmId, within())
    expect((await agent.vms.status(vmId, within())).state).toBe('RUNNING')
    await take(vmId, 'next')
    await agent.snapshots.revert(vmId, 'next', within())
    expect(await snapshotsOf(vmId)).toContain('next')
  }
  const killedAt = async (action: string, point: string, vmId: string, name: string) => {
    await agent.close()
    const args = [child, base, libvirtDir, action, point, vmId, JSON.stringify(name)]
    await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
    await open()
  }

  describe('the agent', () => {
    beforeEach(() => open())
    afterEach(() => endAgent(agent))

    test.each(
      moments([
        [`before ${CREATE}`, true],
        [`in ${CREATE}`, true],
        [`in ${CREATE}`, false],
        [`after ${CREATE}`, true],
        [`after ${CREATE}`, false],
      ]),
    )('while it takes one (%s, running: %s): nothing is left after the restart', async (point, running) => {
      const vmId = await create(running)
      await take(vmId, 'earlier')
      await killedAt('snapshot', point, vmId, 'lost')
      await settled('vm.snapshot-cleanup')
      expect(await snapshotsOf(vmId)).toEqual(['earlier'])
      const [record] = agent.operations
        .list('vm.create-snapshot')
        .filter(({ params }) => (params as { name: string }).name === 'lost')
      expect(record).toMatchObject({ state: 'failed', error: { reason: 'ABORTED_BY_RESTART' } })
      await take(vmId, 'lost')
      await worksOn(vmId)
    })

    test.each(moments([`before ${DELETE}`, `in ${DELETE}`, `after ${DELETE}`]))(
      'while it deletes one (%s): it is gone after the restart',
      async (point) => {
        const vmId = await create(true)
        await take(vmId, 'a')
        await take(vmId, 'b')
        await killedAt('forget', point, vmId, 'a')
        await settled('vm.delete-snapshot')
        expect(await snapshotsOf(vmId)).toEqual(['b'])
        await worksOn(vmId)
      },
    )

    test.each(moments([`before ${REVERT}`, `in ${REVERT}`, `after ${REVERT}`]))(
      'while it goes back to one (%s): the VM is whole, and is not thrown back a second time',
      async (point) => {
        const vmId = await create(true)
        await take(vmId, 'a')
        await killedAt('revert', point, vmId, 'a')
        await settled('vm.revert-snapshot')
        const [record] = agent.operations.list('vm.revert-snapshot').filter(({ subject }) => subject === `vm ${vmId}`)
        expect(record).toMatchObject({ state: 'failed', error: { reason: 'ABORTED_BY_RESTART' } })
        await agent.snapshots.revert(vmId, 'a', within())
        expect(await snapshotsOf(vmId)).toEqual(['a'])
        await worksOn(vmId)
      },
    )
  })

  test('what a failed creation and its failed cleanup have left inside the disks goes with a delete, later snapshots of the volumes do not', async () => {
    let failing = true
    let files: readonly string[] = []
    const inside = () =>
      Promise.all(
        files.map(async (file) => (await imageInfo(file, 'qcow2', context())).snapshots.map(({ name }) => name)),
      )
    const keep = () => Promise.all(files.map((file) => run('qemu-img', ['snapshot', '-c', 'left', file])))
    await open({
      aroundCall: async (name, call) => {
        if (!failing || name !== CREATE) return call()
        // As a libvirtd leaves it that dies at the end of its work; and nothing of it can be removed.
        if ((await inside()).flat().length === 0) await keep()
        throw new AgentError('CONFLICT', 'a fault of this test')
      },
    })
    try {
      const vmId = await create(false)
      files = (await agent.vms.status(vmId, within())).disks.map((disk) => disk.path)
      await expect(take(vmId, 'left')).rejects.toMatchObject({ reason: 'CONFLICT' })
      await settled('vm.snapshot-cleanup')
      failing = false
      expect(await inside()).toEqual([['left'], ['left']])
      await agent.snapshots.delete(vmId, 'left', within())
      expect(await inside()).toEqual([[], []])
      await keep()
      await agent.snapshots.delete(vmId, 'left', within())
      expect(await inside()).toEqual([['left'], ['left']])
    } finally {
      await endAgent(agent)
    }
  })

  describe('libvirtd', () => {
    /** What happens to libvirtd during a call: it dies before it reads it, or while it is at it. */
    let during: { name: string; dies: 'before' | 'within' } | undefined
    beforeEach(async () => {
      during = undefined
      await open({
        aroundCall: async (name, call) => {
          if (during?.name !== name) return call()
          const { dies } = during
          during = undefined
          if (dies === 'before') await stopLibvirtd(libvirtDir)
          const answer = call()
          const deed = async () => {
            if (dies === 'within') await pause(30)
            await killLibvirtd(libvirtDir)
            await startLibvirtd(libvirtDir)
          }
          const [result] = await Promise.allSettled([answer, deed()])
          if (result.status === 'rejected') throw result.reason
          return result.value
        },
      })
    })
    afterEach(async () => {
      await startLibvirtd(libvirtDir)
      await agent.client.ready(within())
      await endAgent(agent)
    })

    test.each(
      moments([
        ['before', true],
        ['within', true],
        ['within', false],
      ] as const),
    )('while one is taken (%s, running: %s): all of it or nothing, and the VM works on', async (dies, running) => {
      const vmId = await create(running)
      await take(vmId, 'earlier')
      during = { name: CREATE, dies }
      const outcome = await take(vmId, 'late').then(
        () => ['earlier', 'late'],
        () => ['earlier'],
      )
      await agent.client.ready(within())
      await settled('vm.snapshot-cleanup')
      expect(await snapshotsOf(vmId)).toEqual(outcome)
      await worksOn(vmId)
    })

    test.each(
      moments([
        [DELETE, 'before'],
        [DELETE, 'within'],
        [REVERT, 'before'],
        [REVERT, 'within'],
      ] as const),
    )('in %s (%s): the next try does it, and the VM works on', async (name, dies) => {
      const vmId = await create(true)
      await take(vmId, 'a')
      await take(vmId, 'b')
      const work = () =>
        name === DELETE ? agent.snapshots.delete(vmId, 'a', within()) : agent.snapshots.revert(vmId, 'a', within())
      during = { name, dies }
      await work().catch(() => undefined)
      await agent.client.ready(within())
      await work()
      expect(await snapshotsOf(vmId)).toEqual(name === DELETE ? ['b'] : ['a', 'b'])
      await worksOn(vmId)
    })
  })
})
