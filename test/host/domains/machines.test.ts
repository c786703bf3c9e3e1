import { execFile } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { VmSpec } from '../../../src/core/model.ts'
import { readHostAbilities } from '../../../src/domains/host-abilities.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { VIR_DOMAIN_XML } from '../../../src/libvirt/constants.ts'
import { missingCommand, missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const run = promisify(execFile)
const missing =
  (await requirePrerequisite('libvirt', missingLibvirt)) ??
  (await requirePrerequisite('swtpm', missingCommand('swtpm')))

describe.skipIf(missing !== undefined)('a VM on real QEMU, as asked for', () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let agent: AgentParts
  let image: string
  beforeAll(async () => {
    const base = await makeBase()
    agent = await openAgent(base, libvirtDir)
    image = path.join(base, 'images/guest.qcow2')
    await makeBootImage(image, 'ignores')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
  })

  const create = async (spec: Partial<VmSpec>) => {
    const request = vmRequest({}, { disks: [newDisk({ backingFile: image })], ...spec })
    await agent.vms.create(request, within())
    return request.vmId
  }
  const xmlOf = async (vmId: string) => (await readDomainXml(agent.client, domainRef(vmId), vmId, within())) ?? ''
  const remains = async (vmId: string) => {
    const [nvram, tpm] = await Promise.all(
      ['qemu/nvram', 'swtpm'].map((name) => readdir(path.join(libvirtDir, 'lib', name)).catch(() => [])),
    )
    return {
      nvram: (nvram ?? []).filter((file) => file.includes(vmId.slice(0, 8))),
      tpm: (tpm ?? []).filter((name) => name === vmId),
    }
  }

  test.each<[string, Partial<VmSpec>]>([
    ['plain', {}],
    ['FreeBSD', { guestOs: 'freebsd' }],
    [
      'Windows',
      {
        guestOs: 'windows_server',
        disks: [newDisk({ bus: 'sata' })],
        nics: [{ id: 'n', macAddress: '', bridge: '', network: '', model: 'e1000e' }],
      },
    ],
    ['an old Windows', { guestOs: 'windows_legacy', disks: [newDisk({ bus: 'sata' })] }],
    ['a watchdog', { watchdog: 'reset', onCrash: 'destroy' }],
    ['a named CPU with SPICE', { cpuModel: 'qemu64', console: { vncPort: 0, spice: true, spicePort: 0 } }],
    ['a TPM with BIOS', { tpm: true }],
    [
      'disks of every bus',
      {
        disks: ['a', 'b', 'c', 'd', 'e']
          .map((id) => newDisk({ id, iopsLimit: 500, throughputMbps: 10 }))
          .concat(newDisk({ id: 's', bus: 'scsi' }), newDisk({ id: 't', bus: 'sata' })),
      },
    ],
    ['sockets and threads', { cpuCores: 8, cpuSockets: 2, cpuThreadsPerCore: 2 }],
  ])('%s: is valid and starts', async (_, spec) => {
    const vmId = await create(spec)
    const file = path.join(agent.base, 'domain.xml')
    await writeFile(file, await xmlOf(vmId))
    await run('virt-xml-validate', [file, 'domain'])
    await agent.vms.start(vmId, within())
    if (spec.disks === undefined) await waitForBoot(agent, vmId)
    expect((await agent.vms.status(vmId, within())).state).toBe('RUNNING')
    await agent.vms.delete(vmId, within())
    expect(await remains(vmId)).toEqual({ nvram: [], tpm: [] })
  })

  test('UEFI with Secure Boot and a TPM: signed firmware, variables and TPM state of its own, gone with the VM', async () => {
    const memoryBytes = 128 * MIB
    const vmId = await create({ firmware: 'uefi', secureBoot: true, tpm: true, memoryBytes })
    await agent.vms.start(vmId, within())
    const live = readXml(await xmlOf(vmId))
    const loader = live.first('os', 'loader')
    expect(loader?.attribute('secure')).toBe('yes')
    expect(live.first('os', 'nvram')?.attribute('template')).toMatch(/\.ms\.fd$/)
    expect(live.first('features', 'smm')?.attribute('state')).toBe('on')
    expect(live.first('devices', 'tpm', 'backend')?.attribute('version')).toBe('2.0')
    const other = await create({ firmware: 'uefi', memoryBytes })
    await agent.vms.start(other, within())
    expect(readXml(await xmlOf(other)).first('os', 'loader')?.text).not.toBe(loader?.text)
    expect(await remains(vmId)).toEqual({ nvram: [expect.stringContaining('VARS')], tpm: [vmId] })
    // Both go through a stop and another start with what they keep.
    await agent.vms.forceStop(vmId, within())
    await agent.vms.start(vmId, within())
    await agent.vms.delete(vmId, within())
    await agent.vms.delete(other, within())
    expect(await remains(vmId)).toEqual({ nvram: [], tpm: [] })
  })

  test('the password of VNC is in use, and nowhere but in libvirt', async () => {
    const vncPassword = 's3cr3t&<'
    const vmId = await create({ vncPassword })
    await agent.vms.start(vmId, within())
    const secure = await readDomainXml(agent.client, domainRef(vmId), vmId, within(), VIR_DOMAIN_XML.SECURE)
    expect(
      readXml(secure ?? '')
        .first('devices', 'graphics')
        ?.attribute('passwd'),
    ).toBe(vncPassword)
    expect(await xmlOf(vmId)).not.toContain('s3cr3t')
    await expect(run('grep', ['-rl', 's3cr3t', agent.base])).rejects.toMatchObject({ code: 1 })
    await agent.vms.delete(vmId, within())
  })

  test('what this host has not is refused before anything is made', async () => {
    const refused = (spec: Partial<VmSpec>) => agent.vms.create(vmRequest({}, spec), within())
    const lacks = { reason: 'HOST_LACKS_FEATURE' }
    await expect(refused({ cpuModel: 'PDP-11' })).rejects.toMatchObject(lacks)
    await expect(refused({ hugepages: true, memoryBytes: 2 ** 45 })).rejects.toMatchObject({
      ...lacks,
      message: expect.stringContaining('vm.nr_hugepages'),
    })
    expect(await agent.vms.list(within())).toEqual([])
  })

  test('libvirt tells what guests can have', async () => {
    const abilities = await readHostAbilities(agent.client, { type: 'qemu' }, within())
    expect(abilities).toMatchObject({ uefi: true, secureBoot: true, tpm2: true })
    expect(abilities.cpuModels).toContain('qemu64')
  })
})
