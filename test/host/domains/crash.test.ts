import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { CreateVmRequest } from '../../../src/core/model.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { makeBase, newDisk, openAgent, removeBase, vmFiles, vmRequest, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const child = path.join(import.meta.dirname, 'crash-child.ts')

describe.skipIf(missing !== undefined)('an agent that is killed', () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  beforeAll(async () => {
    base = await makeBase()
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
  })
  afterAll(() => removeBase(base))

  const request = () =>
    vmRequest(
      {},
      {
        firmware: 'uefi',
        disks: [newDisk({ backingFile: path.join(base, 'images/boot.qcow2') }), newDisk({ id: 'data' })],
        cloudInit: { userData: '#cloud-config\npassword: hunter2\n', metaData: '', networkConfig: '', vendorData: '' },
      },
    )
  const killedAt = async (action: 'create' | 'delete', point: string, what: CreateVmRequest) => {
    const args = [child, base, libvirtDir, action, point, JSON.stringify(what)]
    await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
  }

  test.each([
    'disks',
    'files',
    'before remote:DOMAIN_DEFINE_XML_FLAGS',
    'after remote:DOMAIN_DEFINE_XML_FLAGS',
    'define',
  ])('while it creates a VM (%s): after the restart nothing is left, and the same request works', async (point) => {
    const fresh = await openAgent(base, libvirtDir)
    const before = await vmFiles(fresh)
    await fresh.close()
    const what = request()
    await killedAt('create', point, what)
    const agent = await openAgent(base, libvirtDir)
    try {
      expect(await vmFiles(agent)).toEqual(before)
      await expect(agent.vms.status(what.vmId, within())).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
      const [record] = agent.operations.list('vm.create').filter(({ subject }) => subject === `vm ${what.vmId}`)
      expect(record).toMatchObject({ state: 'failed', error: { reason: 'ABORTED_BY_RESTART' } })
      expect(JSON.stringify(record)).not.toContain('hunter2')
      expect(await agent.vms.create(what, within())).toEqual({ vmId: what.vmId, created: true })
      await agent.vms.start(what.vmId, within())
      await agent.vms.delete(what.vmId, within())
      expect(await vmFiles(agent)).toEqual(before)
    } finally {
      await agent.close()
    }
  })

  test.each([
    'after remote:DOMAIN_DESTROY_FLAGS',
    'before remote:DOMAIN_UNDEFINE_FLAGS',
    'after remote:DOMAIN_UNDEFINE_FLAGS',
  ])('while it deletes a VM (%s): the delete is completed after the restart', async (point) => {
    const what = request()
    const first = await openAgent(base, libvirtDir)
    const before = await vmFiles(first)
    await first.vms.create(what, within())
    await first.vms.start(what.vmId, within())
    await first.close()
    await killedAt('delete', point, what)
    const agent = await openAgent(base, libvirtDir)
    try {
      const [record] = agent.operations.list('vm.delete').filter(({ subject }) => subject === `vm ${what.vmId}`)
      await agent.operations.wait(record?.id ?? '', within())
      expect(await vmFiles(agent)).toEqual(before)
      await expect(agent.vms.status(what.vmId, within())).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
    } finally {
      await agent.close()
    }
  })
})
