import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { missingLibvirt, missingRoot, requirePrerequisite } from '../require.ts'
import {
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

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', () => missingRoot() ?? missingLibvirt())

describe.skipIf(missing !== undefined)('checkpoints that complete exports left', { timeout: 180_000 }, () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let agent: AgentParts
  beforeEach(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
    agent = await openAgent(base, libvirtDir)
  })
  afterEach(async () => {
    await endAgent(agent)
    await removeBase(base)
  })
  const checkpoints = async (vmId: string) => {
    const uri = `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock`
    const { stdout } = await run('virsh', ['-q', '-c', uri, 'checkpoint-list', vmId, '--name'])
    return stdout.split('\n').filter((name) => name !== '')
  }
  const open = (vmId: string, name: string) =>
    agent.exports.open({ vmId, name, poolId: POOL, mode: 'incremental', since: '', lifetimeMs: 600_000 }, within())

  test('are forgotten, in a VM that runs or is off, but not while one is open; snapshots are possible again', async () => {
    const disks = [newDisk({ bus: 'sata', backingFile: path.join(base, 'images/boot.qcow2') })]
    const request = vmRequest({}, { disks })
    const { vmId } = request
    await agent.vms.create(request, within())
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)

    await open(vmId, 'one')
    await expect(agent.backups.forgetExport(vmId, 'one', within())).rejects.toMatchObject({ reason: 'CONFLICT' })
    await agent.exports.end(vmId, 'one', true, within())
    expect(await checkpoints(vmId)).toEqual(['export-one'])
    await agent.backups.forgetExport(vmId, 'other', within())
    expect(await checkpoints(vmId)).toEqual(['export-one'])
    for (const _ of ['once', 'again']) await agent.backups.forgetExport(vmId, 'one', within())
    expect(await checkpoints(vmId)).toEqual([])

    await open(vmId, 'two')
    await agent.exports.end(vmId, 'two', true, within())
    await agent.vms.forceStop(vmId, within())
    const snapshot = { name: 's', description: '', includeMemory: false }
    await expect(agent.snapshots.create(vmId, snapshot, within())).rejects.toThrow()
    await agent.backups.forgetExport(vmId, 'two', within())
    expect(await checkpoints(vmId)).toEqual([])
    await agent.snapshots.create(vmId, snapshot, within())
    await agent.snapshots.delete(vmId, 's', within())
    await expect(agent.backups.forgetExport(vmId, '../x', within())).rejects.toMatchObject({ reason: 'INVALID_NAME' })
  })
})
