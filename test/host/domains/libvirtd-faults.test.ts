import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import type { NodeEventType } from '../../../src/core/model.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmFiles,
  vmRequest,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { killLibvirtd, startLibvirtd, stopLibvirtd } from './private-libvirtd.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)
const DEFINE = 'remote:DOMAIN_DEFINE_XML_FLAGS'

describe.skipIf(missing !== undefined)('libvirtd that dies', () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let agent: AgentParts
  /** What happens while a call of this name is under way. */
  let during: { name: string; deed: () => Promise<void> } | undefined
  beforeAll(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
  })
  beforeEach(async () => {
    during = undefined
    agent = await openAgent(base, libvirtDir, {
      undoWaitMs: 500,
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
  beforeEach(async () => {
    // The client opens its connection for such calls with the first one; a call that waits for that was never sent.
    const warmUp = request()
    await agent.vms.create(warmUp, within())
    await agent.vms.delete(warmUp.vmId, within())
  })
  afterEach(async () => {
    await startLibvirtd(libvirtDir)
    await agent.client.ready(within())
    await endAgent(agent)
  })
  afterAll(() => removeBase(base))

  const request = () => vmRequest({}, { disks: [newDisk({ backingFile: path.join(base, 'images/boot.qcow2') })] })

  test('in the middle of a create, and comes back: a precise error, nothing left, and the next try works', async () => {
    const before = await vmFiles(agent)
    const what = request()
    during = {
      name: DEFINE,
      deed: async () => {
        await killLibvirtd(libvirtDir)
        await startLibvirtd(libvirtDir)
      },
    }
    await expect(agent.vms.create(what, within())).rejects.toMatchObject({ reason: 'LIBVIRT_OUTCOME_UNKNOWN' })
    await agent.client.ready(within())
    // When libvirt was away for longer than the undo waits, a cleanup operation does the rest.
    await Promise.all(agent.operations.list('vm.cleanup').map(({ id }) => agent.operations.wait(id, within())))
    expect(await vmFiles(agent)).toEqual(before)
    await expect(agent.vms.status(what.vmId, within())).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
    expect(await agent.vms.create(what, within())).toMatchObject({ created: true })
  })

  test('in the middle of a create, and stays away: disks stay until it can be asked whether the VM is defined', async () => {
    const before = await vmFiles(agent)
    const what = request()
    during = { name: DEFINE, deed: () => killLibvirtd(libvirtDir) }
    await expect(agent.vms.create(what, within())).rejects.toMatchObject({ reason: 'LIBVIRT_OUTCOME_UNKNOWN' })
    const [cleanup] = agent.operations.list('vm.cleanup').filter(({ subject }) => subject === `vm ${what.vmId}`)
    expect(cleanup?.state).not.toBe('completed')
    expect((await vmFiles(agent)).some((file) => file.endsWith('root.qcow2'))).toBe(true)
    await startLibvirtd(libvirtDir)
    expect(await agent.operations.wait(cleanup?.id ?? '', within())).toMatchObject({ state: 'completed' })
    expect(await vmFiles(agent)).toEqual(before)
  })

  test('while VMs run: nothing is told of them meanwhile, and what changed is told when it is back', async () => {
    const what = request()
    await agent.vms.create(what, within())
    await agent.vms.start(what.vmId, within())
    const seen: NodeEventType[] = []
    const events = agent.vms.events(within(120))
    void (async () => {
      for await (const event of events) if (event.vmId === what.vmId) seen.push(event.type)
    })()
    await killLibvirtd(libvirtDir)
    await expect.poll(() => agent.client.state.phase, { timeout: 30_000 }).toBe('disconnected')
    for (const call of [
      () => agent.vms.list(within()),
      () => agent.vms.status(what.vmId, within()),
      () => agent.vms.start(what.vmId, within()),
      () => agent.vms.stop(what.vmId, 1, within()),
      () => agent.vms.delete(what.vmId, within()),
      () => agent.vms.create(request(), within()),
    ]) {
      await expect(call()).rejects.toMatchObject({ reason: 'LIBVIRT_UNAVAILABLE' })
    }
    await startLibvirtd(libvirtDir)
    await agent.client.ready(within())
    expect((await agent.vms.status(what.vmId, within())).state).toBe('RUNNING')
    await agent.vms.forceStop(what.vmId, within())
    await expect.poll(() => seen, { timeout: 30_000 }).toEqual(['VM_STOPPED'])
  })
})
