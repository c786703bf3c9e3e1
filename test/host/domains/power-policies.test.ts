import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { NodeEvent, VmSpec } from '../../../src/core/model.ts'
import { Autostarter, AUTOSTART_KIND } from '../../../src/domains/autostart.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { useAgent } from './use-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('power beyond on and off', () => {
  const agent = useAgent()
  let calm: string
  let panicking: string
  beforeAll(async () => {
    calm = path.join(agent.base, 'images/calm.qcow2')
    panicking = path.join(agent.base, 'images/panicking.qcow2')
    await makeBootImage(calm, 'ignores')
    await makeBootImage(panicking, 'panics')
  })

  const create = async (image: string, spec: Partial<VmSpec> = {}, name?: string) => {
    const request = vmRequest(name === undefined ? {} : { name }, { disks: [newDisk({ backingFile: image })], ...spec })
    await agent.vms.create(request, within())
    return request.vmId
  }
  const stateOf = async (vmId: string) => (await agent.vms.status(vmId, within())).state
  const boots = async (vmId: string) =>
    (await readFile(path.join(agent.base, 'state/vms', vmId, 'console.log'), 'utf8')).split('BOOTED').length - 1
  const eventsOf = (vmId: string): (() => NodeEvent[]) => {
    const seen: NodeEvent[] = []
    void (async () => {
      for await (const event of agent.vms.events(within(120))) if (event.vmId === vmId) seen.push(event)
    })().catch(() => undefined)
    return () => seen
  }

  test('a saved guest goes on where it was, without another boot', async () => {
    const vmId = await create(calm)
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    const events = eventsOf(vmId)
    await agent.vms.save(vmId, within())
    await agent.vms.save(vmId, within())
    expect(await stateOf(vmId)).toBe('STOPPED')
    expect(await agent.vms.isSaved(vmId, within())).toBe(true)
    await agent.vms.start(vmId, within())
    expect(await stateOf(vmId)).toBe('RUNNING')
    expect(await agent.vms.isSaved(vmId, within())).toBe(false)
    await until(async () => events().some(({ message }) => message.includes('restored')))
    expect(events().some(({ message }) => message.includes('saved'))).toBe(true)
    await agent.vms.pause(vmId, within())
    await agent.vms.resume(vmId, within())
    expect(await boots(vmId)).toBe(1)
    await agent.vms.delete(vmId, within())
  })

  test('a saved state that is dropped, reverted over or deleted is gone', async () => {
    const vmId = await create(calm)
    await expect(agent.vms.save(vmId, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await agent.snapshots.create(vmId, { name: 'off', description: '', includeMemory: false }, within())
    const save = async () => {
      await agent.vms.start(vmId, within())
      await agent.vms.save(vmId, within())
    }
    await save()
    await agent.vms.dropSaved(vmId, within())
    await agent.vms.dropSaved(vmId, within())
    expect(await agent.vms.isSaved(vmId, within())).toBe(false)
    await save()
    await agent.snapshots.revert(vmId, 'off', within())
    expect(await agent.vms.isSaved(vmId, within())).toBe(false)
    await save()
    await agent.vms.delete(vmId, within())
    await agent.vms.create(vmRequest({ vmId }, { disks: [newDisk({ backingFile: calm })] }), within())
    expect(await agent.vms.isSaved(vmId, within())).toBe(false)
    await agent.vms.delete(vmId, within())
  })

  test('reset boots the guest anew', async () => {
    const vmId = await create(calm)
    await expect(agent.vms.reset(vmId, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await agent.vms.reset(vmId, within())
    await until(async () => (await boots(vmId)) === 2)
    expect(await stateOf(vmId)).toBe('RUNNING')
    await agent.vms.delete(vmId, within())
  })

  test('a guest that panics is told of and started anew', async () => {
    const vmId = await create(panicking)
    const events = eventsOf(vmId)
    await agent.vms.start(vmId, within())
    await until(async () => (await boots(vmId)) >= 2)
    await until(async () => events().some(({ type }) => type === 'VM_CRASHED'))
    await agent.vms.delete(vmId, within())
  })

  test('a guest that panics is off, and crashed, when that is asked for', async () => {
    const vmId = await create(panicking, { onCrash: 'destroy' })
    await agent.vms.start(vmId, within())
    // virtlogd writes the log, whenever it gets to it.
    await waitForBoot(agent, vmId)
    await until(async () => (await stateOf(vmId)) === 'CRASHED')
    expect(await boots(vmId)).toBe(1)
    await agent.vms.delete(vmId, within())
  })

  test('marked VMs are started once after each boot of the host', async () => {
    const [one, two, other] = [await create(calm), await create(calm), await create(calm)]
    for (const vmId of [one, two]) await agent.vms.setAutostart(vmId, true, within())
    await agent.vms.setAutostart(two, true, within())
    expect(await agent.vms.status(one, within())).toMatchObject({ autostart: true })
    let boot = 'boot-1'
    const autostarter = new Autostarter({ ...agent.autostart, readBootId: async () => boot })
    const settled = async () => {
      await autostarter.begin()
      await until(async () => agent.operations.list(AUTOSTART_KIND).every(({ state }) => state === 'completed'))
    }
    await settled()
    expect(await Promise.all([one, two, other].map(stateOf))).toEqual(['RUNNING', 'RUNNING', 'STOPPED'])
    // The agent starts again, the host did not: what is off stays off.
    await agent.vms.forceStop(one, within())
    await agent.vms.setAutostart(two, false, within())
    await agent.vms.forceStop(two, within())
    await settled()
    expect(await Promise.all([one, two].map(stateOf))).toEqual(['STOPPED', 'STOPPED'])
    boot = 'boot-2'
    await settled()
    expect(await Promise.all([one, two].map(stateOf))).toEqual(['RUNNING', 'STOPPED'])
    for (const vmId of [one, two, other]) await agent.vms.delete(vmId, within())
  })
})
