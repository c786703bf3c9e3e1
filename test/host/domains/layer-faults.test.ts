import { execFile } from 'node:child_process'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { moments } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
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
  type OpenOptions,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { killLibvirtd, startLibvirtd, stopLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')
const CREATE = 'remote:DOMAIN_SNAPSHOT_CREATE_XML'
const FORGET = 'remote:DOMAIN_SNAPSHOT_DELETE'
const COMMIT = 'remote:DOMAIN_BLOCK_COMMIT'
const PIVOT = 'remote:DOMAIN_BLOCK_JOB_ABORT'
const DEFINE = 'remote:DOMAIN_DEFINE_XML_FLAGS'
const DESTROY = 'remote:DOMAIN_DESTROY_FLAGS'
const NOTE = 'remote:DOMAIN_SET_METADATA'

describe.skipIf(missing !== undefined)('layers of disks while something dies', () => {
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
  const diskOf = async (vmId: string) => {
    const disk = (await agent.inventory.entry(vmId, within())).facts.disks.find(({ id }) => id === 'data')
    if (disk === undefined) throw new Error('the disk is gone')
    return disk
  }
  const formatOf = (file: string) => (file.endsWith('.raw') ? 'raw' : 'qcow2')
  const write = async (vmId: string, pattern: string) => {
    const { path: file } = await diskOf(vmId)
    await run('qemu-io', ['-f', formatOf(file), '-c', `write -P ${pattern} 0 64k`, file])
  }
  const holds = async (vmId: string, pattern: string) => {
    const { path: file } = await diskOf(vmId)
    const read = ['-r', '-U', '-f', formatOf(file), '-c', `read -P ${pattern} 0 64k`, file]
    return !(await run('qemu-io', read)).stdout.includes('verification failed')
  }
  const take = (vmId: string, name: string) =>
    agent.snapshots.create(vmId, { name, description: '', includeMemory: false }, within())
  const start = async (vmId: string) => {
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
  }
  /** A VM whose disk held 0xaa at snapshot a, 0xbb at b, and holds 0xcc. */
  const create = async (running: boolean) => {
    const disks = [
      newDisk({ backingFile: path.join(base, 'images/boot.qcow2') }),
      newDisk({ id: 'data', format: 'raw' }),
    ]
    const { vmId } = await agent.vms.create(vmRequest({}, { disks }), within())
    await write(vmId, '0xaa')
    await take(vmId, 'a')
    await write(vmId, '0xbb')
    await take(vmId, 'b')
    await write(vmId, '0xcc')
    if (running) await start(vmId)
    return vmId
  }
  const settled = async () => {
    for (const { id } of agent.operations.list()) await agent.operations.wait(id, within())
  }
  const names = async (vmId: string) => (await agent.snapshots.list(vmId, within())).map(({ id }) => id)
  const depth = async (vmId: string) =>
    (await agent.inventory.entry(vmId, within())).facts.layers.filter(({ disk }) => disk === 'data').length
  /** Everything that is left of the VM works, and holds what it should: the snapshots of `kept`, the disk `now`. */
  const isWhole = async (vmId: string, kept: Readonly<Record<string, string>>, now: string) => {
    await agent.inventory.settle(vmId)
    expect(await names(vmId)).toEqual(Object.keys(kept))
    expect(await depth(vmId)).toBe(Object.keys(kept).length === 0 ? 0 : Object.keys(kept).length + 1)
    expect(await holds(vmId, now)).toBe(true)
    await agent.vms.forceStop(vmId, within())
    await start(vmId)
    await agent.vms.forceStop(vmId, within())
    for (const [name, pattern] of Object.entries(kept)) {
      await agent.snapshots.revert(vmId, name, within())
      expect(await holds(vmId, pattern), name).toBe(true)
    }
    for (const name of Object.keys(kept)) await agent.snapshots.delete(vmId, name, within())
    await agent.inventory.settle(vmId)
    expect(await depth(vmId)).toBe(0)
    expect(await holds(vmId, Object.values(kept).at(-1) ?? now)).toBe(true)
    await agent.vms.delete(vmId, within())
    expect(await vmFiles(agent)).toEqual([])
  }
  const ALL = { a: '0xaa', b: '0xbb' }

  describe('the agent', () => {
    beforeEach(() => open())
    afterEach(() => endAgent(agent))
    const killedAt = async (action: string, point: string, vmId: string, name: string) => {
      await agent.close()
      const args = [child, base, libvirtDir, action, point, vmId, JSON.stringify(name)]
      await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
      await open()
      await settled()
    }

    test.each(
      moments([
        [`before ${NOTE}`, true],
        [`after ${NOTE}`, false],
        [`before ${CREATE}`, true],
        [`in ${CREATE}`, true],
        [`after ${CREATE}`, true],
        [`after ${CREATE}`, false],
        [`before ${DEFINE}`, false],
        [`after ${DEFINE}`, false],
      ]),
    )('while it takes one (%s, running: %s): nothing is left after the restart', async (point, running) => {
      const vmId = await create(running)
      await killedAt('layer', point, vmId, 'lost')
      await isWhole(vmId, ALL, '0xcc')
    })

    test.each(
      moments([
        ['a', `after ${FORGET}`, true],
        ['a', `before ${COMMIT}`, true],
        ['a', `after ${COMMIT}`, true],
        ['b', `after ${COMMIT}`, true],
        ['b', `before ${PIVOT}`, true],
        ['b', `after ${PIVOT}`, true],
        ['a', `before ${DEFINE}`, false],
        ['a', `after ${DEFINE}`, false],
        ['b', `before ${DEFINE}`, false],
        ['b', `after ${DEFINE}`, false],
        ['b', `before ${NOTE}`, true],
        ['a', `before ${NOTE}`, false],
      ]),
    )('while it deletes %s (%s, running: %s): it is merged after the restart', async (name, point, running) => {
      const vmId = await create(running)
      await killedAt('forget', point, vmId, name)
      await isWhole(vmId, name === 'a' ? { b: '0xbb' } : { a: '0xaa' }, '0xcc')
    })

    test.each(
      moments([
        [`before ${NOTE}`, true],
        [`after ${NOTE}`, true],
        [`before ${DESTROY}`, true],
        [`after ${DESTROY}`, true],
        [`before ${DEFINE}`, false],
        [`after ${DEFINE}`, false],
        [`before ${CREATE}`, true],
        [`after ${CREATE}`, true],
      ]),
    )('while it goes back to one (%s, running: %s): it has after the restart', async (point, running) => {
      const vmId = await create(running)
      await killedAt('revert', point, vmId, 'a')
      expect((await agent.vms.status(vmId, within())).state).toBe('STOPPED')
      await isWhole(vmId, ALL, '0xaa')
    })
  })

  describe('libvirtd', () => {
    let during: { name: string; dies: 'before' | 'within' | 'after' } | undefined
    const restart = async () => {
      await killLibvirtd(libvirtDir)
      await startLibvirtd(libvirtDir)
    }
    beforeEach(async () => {
      during = undefined
      await open({
        aroundCall: async (name, call) => {
          if (during?.name !== name) return call()
          const { dies } = during
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
    })
    afterEach(async () => {
      await startLibvirtd(libvirtDir)
      await agent.client.ready(within())
      await endAgent(agent)
    })

    test.each(
      moments([
        [CREATE, 'before', true],
        [CREATE, 'after', true],
        [CREATE, 'before', false],
        [DEFINE, 'before', false],
      ] as const),
    )('while one is taken (%s, %s, running: %s): all of it or nothing', async (name, dies, running) => {
      const vmId = await create(running)
      during = { name, dies }
      const kept = await take(vmId, 'late').then(
        () => ({ ...ALL, late: '0xcc' }),
        () => ALL,
      )
      await agent.client.ready(within())
      await settled()
      await isWhole(vmId, kept, '0xcc')
    })

    test.each(
      moments([
        ['a', FORGET, 'before', true],
        ['a', COMMIT, 'before', true],
        ['a', COMMIT, 'after', true],
        ['b', COMMIT, 'after', true],
        ['b', PIVOT, 'before', true],
        ['b', PIVOT, 'within', true],
        ['b', DEFINE, 'before', false],
      ] as const),
    )(
      'while %s is deleted (%s, %s, running: %s): it, or the next try, merges it',
      async (snapshot, name, dies, running) => {
        const vmId = await create(running)
        during = { name, dies }
        await agent.snapshots.delete(vmId, snapshot, within()).catch(() => undefined)
        await agent.client.ready(within())
        await agent.snapshots.delete(vmId, snapshot, within())
        await isWhole(vmId, snapshot === 'a' ? { b: '0xbb' } : { a: '0xaa' }, '0xcc')
      },
    )

    test.each(
      moments([
        [DESTROY, 'before'],
        [DEFINE, 'before'],
        [CREATE, 'before'],
      ] as const),
    )('while the VM goes back (%s, %s): it can be started, and the next try goes back', async (name, dies) => {
      const vmId = await create(true)
      during = { name, dies }
      await agent.snapshots.revert(vmId, 'a', within()).catch(() => undefined)
      await agent.client.ready(within())
      if ((await agent.vms.status(vmId, within())).state === 'STOPPED') await start(vmId)
      await agent.snapshots.revert(vmId, 'a', within())
      await isWhole(vmId, ALL, '0xaa')
    })
  })
})
