import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { removeUnwantedDisk } from '../../../src/domains/disk-cleanup.ts'
import { readHalves } from '../../../src/domains/domain-halves.ts'
import type { DomainDisk } from '../../../src/domains/domain-info.ts'
import type { DiskBus } from '../../../src/core/model.ts'
import { moments } from '../moments.ts'
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
  type OpenOptions,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { killLibvirtd, startLibvirtd, stopLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')
const ATTACH = 'remote:DOMAIN_ATTACH_DEVICE_FLAGS'
const DETACH = 'remote:DOMAIN_DETACH_DEVICE_FLAGS'
const NOTE = 'remote:DOMAIN_SET_METADATA'

describe.skipIf(missing !== undefined)('disks while something dies', () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let agent: AgentParts
  beforeAll(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
  })
  afterAll(() => removeBase(base))

  const open = async (options: OpenOptions = {}) => {
    agent = await openAgent(base, libvirtDir, { releaseMs: 2_000, undoWaitMs: 500, ...options })
  }
  // SCSI disks need no guest to let them go, virtio ones do.
  const data = (bus: DiskBus) => newDisk({ id: 'data', bus })
  const create = async (running: boolean) => {
    const request = vmRequest({}, { disks: [newDisk({ backingFile: path.join(base, 'images/boot.qcow2') })] })
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  const disksOf = async (vmId: string) => {
    const { live, config } = await readHalves(agent.client, vmId, within())
    const ids = (facts: typeof config.facts) => facts.disks.map(({ id }) => id)
    return live === undefined ? ids(config.facts) : { live: ids(live.facts), config: ids(config.facts) }
  }
  const both = (...ids: string[]) => ({ live: ids, config: ids })
  const killedAt = async (action: 'attach' | 'detach', point: string, vmId: string, bus: DiskBus) => {
    await agent.close()
    const args = [child, base, libvirtDir, action, point, vmId, JSON.stringify(data(bus))]
    await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
    await open()
  }
  const settled = (kind: string) =>
    Promise.all(agent.operations.list(kind).map(({ id }) => agent.operations.wait(id, within())))

  describe('the agent', () => {
    beforeEach(() => open())
    afterEach(() => endAgent(agent))

    test.each(
      moments([
        ['disk', true],
        [`before ${NOTE}`, true],
        [`after ${NOTE}`, true],
        [`before ${ATTACH}`, false],
        [`after ${ATTACH}`, true],
        [`after ${ATTACH}`, false],
        ['attach', true],
      ]),
    )(
      'in an attach (%s, running: %s): nothing is left after the restart, and the same works',
      async (point, running) => {
        const vmId = await create(running)
        const before = await vmFiles(agent)
        const plain = await disksOf(vmId)
        await killedAt('attach', point, vmId, 'scsi')
        expect(await vmFiles(agent)).toEqual(before)
        expect(await disksOf(vmId)).toEqual(plain)
        const [record] = agent.operations.list('vm.attach-disk').filter(({ subject }) => subject === `vm ${vmId}`)
        expect(record).toMatchObject({ state: 'failed', error: { reason: 'ABORTED_BY_RESTART' } })
        await agent.devices.attachDisk(vmId, data('scsi'), within())
        expect(await disksOf(vmId)).toEqual(running ? both('root', 'data') : ['root', 'data'])
      },
    )

    test('in an attach to a guest that lets nothing go: the disk goes when the guest does', async () => {
      const vmId = await create(true)
      const before = await vmFiles(agent)
      await killedAt('attach', `after ${ATTACH}`, vmId, 'virtio')
      expect(await disksOf(vmId)).toEqual(both('root', 'data'))
      expect(await vmFiles(agent)).not.toEqual(before)
      await expect(agent.devices.attachDisk(vmId, data('virtio'), within())).rejects.toMatchObject({
        reason: 'CONFLICT',
      })
      await agent.vms.forceStop(vmId, within())
      await settled('vm.disk-cleanup')
      expect(await disksOf(vmId)).toEqual(['root'])
      expect(await vmFiles(agent)).toEqual(before)
    })

    test.each(moments([`before ${DETACH}`, `after ${DETACH}`, `before ${NOTE}`, `after ${NOTE}`]))(
      'in a detach (%s): it is completed after the restart, and the data stay',
      async (point) => {
        const vmId = await create(true)
        await agent.devices.attachDisk(vmId, data('scsi'), within())
        const before = await vmFiles(agent)
        await killedAt('detach', point, vmId, 'scsi')
        await settled('vm.detach-disk')
        expect(await disksOf(vmId)).toEqual(both('root'))
        expect(await vmFiles(agent)).toEqual(before)
        await agent.devices.detachDisk(vmId, 'data', within())
      },
    )
  })

  test('a volume that waits for its removal is kept while its VM has it as another disk', async () => {
    await open()
    try {
      const vmId = await create(false)
      await agent.devices.attachDisk(vmId, data('scsi'), within())
      const { facts } = await agent.inventory.entry(vmId, within())
      const { path: file, poolId, volume } = facts.disks.find(({ id }) => id === 'data') as DomainDisk
      await agent.devices.detachDisk(vmId, 'data', within())
      await agent.devices.attachDisk(vmId, newDisk({ id: 'kept', path: file, bus: 'scsi' }), within())
      const before = await vmFiles(agent)
      const parts = { client: agent.client, inventory: agent.inventory }
      const remove = () =>
        removeUnwantedDisk({ vmId, diskId: 'data', volumes: [{ poolId, name: volume }] }, agent, parts, context())
      await expect(remove()).rejects.toMatchObject({ reason: 'VOLUME_IN_USE' })
      expect(await vmFiles(agent)).toEqual(before)
      expect(await disksOf(vmId)).toEqual(['root', 'kept'])
      await agent.devices.detachDisk(vmId, 'kept', within())
      await remove()
      expect(await vmFiles(agent)).not.toEqual(before)
    } finally {
      await endAgent(agent)
    }
  })

  describe('libvirtd', () => {
    let during: { name: string; deed: () => Promise<void> } | undefined
    beforeEach(async () => {
      during = undefined
      await open({
        aroundCall: async (name, call) => {
          if (during?.name !== name) return call()
          const { deed } = during
          during = undefined
          await stopLibvirtd(libvirtDir)
          const answer = call()
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
    const restart = async () => {
      await killLibvirtd(libvirtDir)
      await startLibvirtd(libvirtDir)
    }

    test.each([ATTACH, NOTE])(
      'in an attach (%s), and comes back: a precise error, nothing left, and the next try works',
      async (name) => {
        const vmId = await create(true)
        const before = await vmFiles(agent)
        during = { name, deed: restart }
        await expect(agent.devices.attachDisk(vmId, data('scsi'), within())).rejects.toMatchObject({
          reason: 'LIBVIRT_OUTCOME_UNKNOWN',
        })
        await agent.client.ready(within())
        await settled('vm.disk-cleanup')
        expect(await vmFiles(agent)).toEqual(before)
        expect(await disksOf(vmId)).toEqual(both('root'))
        await agent.devices.attachDisk(vmId, data('scsi'), within())
        expect(await disksOf(vmId)).toEqual(both('root', 'data'))
      },
    )

    test('in an attach, and stays away: the volume stays until it can be asked whether the VM has it', async () => {
      const vmId = await create(true)
      const before = await vmFiles(agent)
      during = { name: ATTACH, deed: () => killLibvirtd(libvirtDir) }
      await expect(agent.devices.attachDisk(vmId, data('scsi'), within())).rejects.toMatchObject({
        reason: 'LIBVIRT_OUTCOME_UNKNOWN',
      })
      expect(await vmFiles(agent)).not.toEqual(before)
      await startLibvirtd(libvirtDir)
      await settled('vm.disk-cleanup')
      expect(await vmFiles(agent)).toEqual(before)
    })

    test.each([DETACH, NOTE])(
      'in a detach (%s): the guest and its next start agree, and the next try is success',
      async (name) => {
        const vmId = await create(true)
        await agent.devices.attachDisk(vmId, data('scsi'), within())
        during = { name, deed: restart }
        await agent.devices.detachDisk(vmId, 'data', within()).catch(() => undefined)
        await agent.client.ready(within())
        const disks = (await disksOf(vmId)) as { live: string[]; config: string[] }
        expect(disks.live).toEqual(disks.config)
        await agent.devices.detachDisk(vmId, 'data', within())
        expect(await disksOf(vmId)).toEqual(both('root'))
      },
    )
  })
})
