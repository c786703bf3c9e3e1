import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { VmSpec } from '../../../src/core/model.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { useAgent } from './use-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('a clone', () => {
  const agent = useAgent()
  let image: string
  beforeAll(async () => {
    image = path.join(agent.base, 'images/guest.qcow2')
    await makeBootImage(image, 'ignores')
  })

  const makeSource = async (spec: Partial<VmSpec> = {}) => {
    const request = vmRequest({}, { disks: [newDisk({ backingFile: image })], ...spec })
    await agent.vms.create(request, within())
    return request.vmId
  }
  // As a control plane asks for it: no pool, no image, always virtio.
  const clone = async (
    source: string,
    type: string,
    disks = [newDisk({ id: 'disk0', poolId: '', sizeBytes: MIB })],
  ) => {
    const request = vmRequest({ labels: { 'cloned-from': source, 'clone-type': type } }, { disks })
    await agent.vms.create(request, within())
    return request.vmId
  }
  const diskOf = async (vmId: string) => (await agent.vms.status(vmId, within())).disks[0]
  const backingOf = async (vmId: string) => {
    const { stdout } = await run('qemu-img', ['info', '-U', '--output=json', (await diskOf(vmId))?.path ?? ''])
    return (JSON.parse(stdout) as Record<string, unknown>)['full-backing-filename']
  }

  test('in full has the content of its source, in a disk of its own, and lives without it', async () => {
    const source = await makeSource()
    const vmId = await clone(source, 'FULL')
    expect(await backingOf(vmId)).toBeUndefined()
    expect((await diskOf(vmId))?.sizeBytes).toBe((await diskOf(source))?.sizeBytes)
    await agent.vms.start(source, within())
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await agent.vms.delete(source, within())
    await agent.vms.delete(vmId, within())
  })

  test('that is linked stands on the disk of its source, which is not started or deleted under it', async () => {
    const source = await makeSource()
    const vmId = await clone(source, 'LINKED')
    expect(await backingOf(vmId)).toBe((await diskOf(source))?.path)
    await expect(agent.vms.start(source, within())).rejects.toMatchObject({
      reason: 'VOLUME_IN_USE',
      message: expect.stringContaining(vmId),
    })
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    const again = await clone(source, 'LINKED')
    await expect(agent.vms.delete(source, within())).rejects.toMatchObject({ reason: 'VOLUME_IN_USE' })
    expect(await backingOf(vmId)).toContain(source.slice(0, 8))
    for (const one of [vmId, again]) await agent.vms.delete(one, within())
  })

  test('has firmware, bus and guest system of its source where nobody says otherwise', async () => {
    const source = await makeSource({
      firmware: 'uefi',
      guestOs: 'windows_server',
      disks: [newDisk({ bus: 'sata' })],
    })
    const vmId = await clone(source, 'FULL')
    const xml = readXml((await readDomainXml(agent.client, domainRef(vmId), vmId, within())) ?? '')
    expect(xml.first('os')?.attribute('firmware') ?? xml.first('os', 'loader')?.attribute('type')).toMatch(/efi|pflash/)
    expect(xml.first('clock')?.attribute('offset')).toBe('localtime')
    expect((await diskOf(vmId))?.bus).toBe('sata')
    for (const one of [vmId, source]) await agent.vms.delete(one, within())
  })

  test('is refused while its source writes, or is not here, rather than to be blank', async () => {
    const source = await makeSource()
    await agent.vms.start(source, within())
    await expect(clone(source, 'FULL')).rejects.toMatchObject({ reason: 'VOLUME_IN_USE' })
    await expect(clone(randomUUID(), 'LINKED')).rejects.toMatchObject({ reason: 'VM_SPEC_INVALID' })
    await agent.vms.delete(source, within())
  })
})
