import { execFile } from 'node:child_process'
import { truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import type { EventFilter, NodeEvent } from '../../../src/core/events.ts'
import { MIB } from '../../../src/core/bytes.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmRequest,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeDiskGuest } from './disk-guest.ts'
import { missingLoopDevices } from './loop-pool.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', async () => missingLibvirt() ?? (await missingLoopDevices()))

describe.skipIf(missing !== undefined)('what happens to running guests', () => {
  let base: string
  let agent: AgentParts
  const libvirtDir = inject('libvirtDir') ?? ''
  beforeAll(async () => {
    base = await makeBase()
    agent = await openAgent(base, libvirtDir)
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(base)
  })
  const image = (name: string) => path.join(base, 'images', `${name}.qcow2`)
  const events = (filter: EventFilter) => agent.events.list(filter, 1000)
  const event = (filter: EventFilter): Promise<NodeEvent> => until(async () => events(filter)[0])

  // With a second disk that the agent does not make; a BIOS only sees those in the boot order.
  async function makeVm(name: string, second: string): Promise<string> {
    const disks = [newDisk({ backingFile: image(name), sizeBytes: 0 })]
    const { vmId } = await agent.vms.create(vmRequest({ name }, { disks }), within())
    const xml = `${second}<target dev='vdb' bus='virtio'/><boot order='9'/></disk>`
    await agent.client.call('remote:DOMAIN_ATTACH_DEVICE_FLAGS', { dom: domainRef(vmId), xml, flags: 2 })
    return vmId
  }

  test('storage that is full: told with the disk, the VM is paused, and goes on when there is room again', async () => {
    await makeDiskGuest(image('writer'), 'write', 'second')
    const backing = path.join(base, 'small.img')
    await writeFile(backing, '')
    await truncate(backing, MIB)
    const { stdout } = await run('losetup', ['--find', '--show', backing])
    const device = stdout.trim()
    onTestFinished(() => run('losetup', ['--detach', device]).then(() => undefined))
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', device, '64M'])
    const vmId = await makeVm(
      'writer',
      `<disk type='block'><driver name='qemu' type='qcow2'/><source dev='${device}'/>`,
    )
    await agent.vms.start(vmId, within())
    const failed = await event({ vmId, type: 'IO_ERROR' })
    expect(failed.metadata).toMatchObject({ disk: 'vdb', action: 'pause', reason: 'enospc', name: 'writer' })
    const paused = await event({ vmId, type: 'VM_PAUSED' })
    expect(paused.metadata['detail']).toContain('storage is full')
    // libvirt says both, one after the other: nobody has to look, which would be told with another detail.
    expect(Number(failed.id)).toBeLessThan(Number(paused.id))
    expect(paused.message).not.toContain('seen when the state was read again')
    expect(await agent.vms.status(vmId, within())).toMatchObject({
      state: 'PAUSED',
      problems: [{ kind: 'io-error', disk: 'vdb', message: expect.stringContaining('disk vdb failed (enospc)') }],
    })
    await truncate(backing, 128 * MIB)
    await run('losetup', ['--set-capacity', device])
    await agent.vms.resume(vmId, within())
    await until(async () => (await agent.vms.status(vmId, within())).state === 'RUNNING')
    await agent.vms.forceStop(vmId, within())
    expect((await agent.vms.status(vmId, within())).problems).toBeUndefined()
  })

  test('a mark on a disk is told once when the guest writes past it', async () => {
    await makeDiskGuest(image('growing'), 'write', 'first')
    const disks = [newDisk({ backingFile: image('growing'), sizeBytes: 0 })]
    const { vmId } = await agent.vms.create(vmRequest({ name: 'growing' }, { disks }), within())
    await agent.vms.start(vmId, within())
    await agent.devices.setDiskMark(vmId, 'root', 2 * MIB, within())
    const passed = await event({ vmId, type: 'BLOCK_THRESHOLD' })
    expect(passed.metadata).toMatchObject({ disk: 'root', threshold: String(2 * MIB) })
    await agent.vms.forceStop(vmId, within())
    await expect(agent.devices.setDiskMark(vmId, 'root', 1, within())).rejects.toMatchObject({
      reason: 'VM_STATE_CONFLICT',
    })
    expect(events({ vmId, type: 'BLOCK_THRESHOLD' })).toHaveLength(1)
  })
})
