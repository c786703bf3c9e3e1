import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { LibraryImage } from '../../../src/core/model.ts'
import { parseDomain } from '../../../src/domains/domain-info.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { VIR_DOMAIN_XML } from '../../../src/libvirt/constants.ts'
import { createAgentIso } from '../../../src/services/agent-iso.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { useAgent } from './use-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)
const SEED = { userData: '#cloud-config\nx: 1\n', metaData: '', networkConfig: '', vendorData: '' }

describe.skipIf(missing !== undefined)('the ISO with guest agents', () => {
  const agent = useAgent()
  let boot: string
  const iso = (name: string) => path.join(agent.poolRoot, 'iso', name)
  beforeAll(async () => {
    boot = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(boot, 'ignores')
    await mkdir(path.join(agent.poolRoot, 'iso'))
    for (const name of ['virtio-win-0.1.9.iso', 'virtio-win-0.1.10.iso', 'debian.iso'])
      await writeFile(iso(name), name.padEnd(4096, '.'), { mode: 0o644 })
  })

  const mount = (
    vmId: string,
    configured?: string,
    names = ['virtio-win-0.1.9.iso', 'virtio-win-0.1.10.iso', 'debian.iso'],
  ) => {
    const images = names.map((fileName) => ({ fileName, path: iso(fileName), format: 'iso' }) as LibraryImage)
    const { inventory, devices } = agent
    const parts = { configured, images: () => Promise.resolve(images), inventory, devices }
    return createAgentIso(parts).mountAgentIso(vmId, within())
  }
  const create = async (cdroms: readonly string[], running = false) => {
    const request = vmRequest(
      {},
      {
        disks: [newDisk({ backingFile: boot })],
        cdroms: cdroms.map((isoPath, n) => ({ id: `cd${n}`, isoPath, bootable: false })),
        cloudInit: SEED,
      },
    )
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  const inDrives = async (vmId: string, flags: number) => {
    const xml = (await readDomainXml(agent.client, domainRef(vmId), vmId, within(), flags)) ?? ''
    return Object.fromEntries(parseDomain(xml).cdroms.map((drive) => [drive.id, path.basename(drive.path)]))
  }

  test.each([
    ['a running VM', true],
    ['a VM that is off', false],
  ])('goes into the first empty drive of %s and stays there, however often it is asked for', async (_, running) => {
    const vmId = await create(['iso/debian.iso', '', ''], running)
    const drives = {
      cd0: 'debian.iso',
      cd1: 'virtio-win-0.1.10.iso',
      cd2: '',
      'cloud-init': 'cloud-init.iso',
    }
    for (let time = 0; time < 2; time++) {
      expect(await mount(vmId)).toEqual({ device: 'sdc', isoPath: iso('virtio-win-0.1.10.iso') })
      for (const half of running ? [0, VIR_DOMAIN_XML.INACTIVE] : [0])
        expect(await inDrives(vmId, half)).toEqual(drives)
    }
    await agent.vms.delete(vmId, within())
  })

  test('is the configured one where there is one', async () => {
    const vmId = await create([''])
    expect((await mount(vmId, 'iso/debian.iso')).isoPath).toBe(iso('debian.iso'))
    expect((await mount(vmId, iso('virtio-win-0.1.9.iso'))).isoPath).toBe(iso('virtio-win-0.1.9.iso'))
    await expect(mount(vmId, 'iso/none.iso')).rejects.toMatchObject({ reason: 'FILE_NOT_FOUND' })
    await expect(mount(vmId, '/etc/passwd')).rejects.toMatchObject({ reason: 'INVALID_PATH' })
    await agent.vms.delete(vmId, within())
  })

  test('never takes the drive of the seed, and says what is missing', async () => {
    const vmId = await create([])
    const before = await inDrives(vmId, 0)
    await expect(mount(vmId)).rejects.toMatchObject({ reason: 'CDROM_NOT_FOUND' })
    await expect(mount(vmId, undefined, ['debian.iso'])).rejects.toMatchObject({
      reason: 'AGENT_ISO_MISSING',
      message: expect.stringContaining('hypervisor.agent_iso') as string,
    })
    expect(await inDrives(vmId, 0)).toEqual(before)
    await agent.vms.delete(vmId, within())
    await expect(mount(vmId)).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
  })
})
