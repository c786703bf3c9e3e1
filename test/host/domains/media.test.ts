import { mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VIR_DOMAIN_XML } from '../../../src/libvirt/constants.ts'
import { parseDomain } from '../../../src/domains/domain-info.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, newDisk, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { ask, failure, openGrpc } from './grpc-agent.ts'
import { startLinuxVm } from './linux-vm.ts'
import { makeTinyGuest, missingKernel } from './tiny-guest.ts'
import { useAgent } from './use-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)
const noKernel = await requirePrerequisite('guest', missingKernel)
const CLOUD_INIT = { userData: '#cloud-config\nx: 1\n', metaData: '', networkConfig: '', vendorData: '' }

describe.skipIf(missing !== undefined)('media of CD-ROM drives', () => {
  const agent = useAgent()
  let grpc: Awaited<ReturnType<typeof openGrpc>>
  let boot: string
  beforeAll(async () => {
    grpc = await openGrpc({ vms: agent.vms, devices: agent.devices })
    boot = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(boot, 'ignores')
    await mkdir(path.join(agent.poolRoot, 'iso'))
    for (const name of ['one.iso', 'two.iso']) await writeFile(iso(name), name.padEnd(4096, '.'), { mode: 0o644 })
  })
  afterAll(async () => {
    grpc.close()
  })

  const iso = (name: string) => path.join(agent.poolRoot, 'iso', name)
  const change = (vmId: string, device: string, isoPath: string) =>
    ask(grpc.client, grpc.client.ChangeMedia, { vmId, device, isoPath })
  const create = async (cdroms: string[], running = false) => {
    const request = vmRequest(
      {},
      {
        disks: [newDisk({ backingFile: boot })],
        cdroms: cdroms.map((id) => ({ id, isoPath: '', bootable: true })),
        cloudInit: CLOUD_INIT,
      },
    )
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  /** What is in each drive, in the running guest and at the next start. */
  const inDrives = async (vmId: string) => {
    const half = async (flags: number) => {
      const xml = (await readDomainXml(agent.client, domainRef(vmId), vmId, within(), flags)) ?? ''
      return Object.fromEntries(parseDomain(xml).cdroms.map((drive) => [drive.id, path.basename(drive.path)]))
    }
    return { live: await half(0), config: await half(VIR_DOMAIN_XML.INACTIVE) }
  }
  const both = (drives: object) => ({ live: drives, config: drives })
  const SEED = { 'cloud-init': 'cloud-init.iso' }

  test.each([
    ['a running VM', true],
    ['a VM that is off', false],
  ])('an ISO goes into the drive of %s and out of it, and once more is success', async (_, running) => {
    const vmId = await create(['cd'], running)
    // One disk: the first drive is sdb by the rule of control planes. The seed is sdc.
    await change(vmId, 'sdb', 'iso/one.iso')
    await change(vmId, 'sdb', 'iso/one.iso')
    expect(await inDrives(vmId)).toEqual(both({ cd: 'one.iso', ...SEED }))
    await change(vmId, 'cd', iso('two.iso'))
    expect(await inDrives(vmId)).toEqual(both({ cd: 'two.iso', ...SEED }))
    await change(vmId, 'hda', '')
    await change(vmId, 'hda', '')
    expect(await inDrives(vmId)).toEqual(both({ cd: '', ...SEED }))
    expect(await agent.devices.changeMedia(vmId, { device: '', isoPath: 'one.iso' }, within())).toEqual({
      targetDev: 'sdb',
      path: iso('one.iso'),
    })
    if (running) await agent.vms.forceStop(vmId, within())
    await agent.vms.start(vmId, within())
    expect(await inDrives(vmId)).toEqual(both({ cd: 'one.iso', ...SEED }))
    const { xml } = await agent.client.call('remote:DOMAIN_GET_XML_DESC', { dom: domainRef(vmId), flags: 0 })
    // Boot order and place of the drive outlive its media.
    expect(xml.match(/<boot order=/g)).toHaveLength(2)
    await agent.vms.delete(vmId, within())
  })

  test.skipIf(noKernel !== undefined)(
    'a tray that the guest has locked stays shut where that is asked for, and is forced open otherwise',
    { timeout: 120_000 },
    async () => {
      // The guest has no driver for SATA.
      const onScsi = (xml: string) => {
        const [before = '', drive = '', after = ''] = xml.split(/(<disk type='file' device='cdrom'>.*?<\/disk>)/s)
        return before + drive.replace("bus='sata'", "bus='scsi'").replace(/<address type='drive'[^>]*>/, '') + after
      }
      const vmId = await startLinuxVm(
        agent,
        await makeTinyGuest(agent.base),
        { disks: [newDisk({ bus: 'scsi' })], cdroms: [{ id: 'cd', isoPath: 'iso/one.iso', bootable: false }] },
        onScsi,
      )
      const sh = (script: string) =>
        agent.vms.guestExec(vmId, { command: '/bin/sh', args: ['-c', script], timeoutMs: 20_000 }, within())
      await until(async () => (await sh('exec 3</dev/sr0 || exit 1; sleep 1000 >/dev/null 2>&1 &')).exitCode === 0)
      const keep = { device: 'cd', isoPath: '', force: false }
      await expect(agent.devices.changeMedia(vmId, keep, within())).rejects.toMatchObject({ reason: 'CDROM_LOCKED' })
      expect(await inDrives(vmId)).toEqual(both({ cd: 'one.iso' }))
      await change(vmId, 'cd', 'iso/two.iso')
      expect(await inDrives(vmId)).toEqual(both({ cd: 'two.iso' }))
      await change(vmId, 'cd', '')
      expect(await inDrives(vmId)).toEqual(both({ cd: '' }))
      await agent.vms.delete(vmId, within())
    },
  )

  test('the drive with the seed is never meant, by whatever name', async () => {
    const vmId = await create([])
    for (const device of ['sdc', 'cloud-init', 'sda', 'hdc', '']) {
      const refused = await failure(change(vmId, device, 'iso/one.iso'))
      expect(refused, device).toMatchObject({ code: status.NOT_FOUND })
      expect(refused.details).not.toMatch(/not found|already|exists/)
    }
    expect(await inDrives(vmId)).toEqual(both(SEED))
    await agent.vms.delete(vmId, within())
  })

  test('a drive that a control plane has added in its own records comes with its first medium', async () => {
    const vmId = await create(['cd'], true)
    const refused = await failure(change(vmId, 'sdc', 'iso/two.iso'))
    expect(refused).toMatchObject({ code: status.FAILED_PRECONDITION, details: expect.stringContaining('off') })
    await agent.vms.forceStop(vmId, within())
    await change(vmId, 'sdc', 'iso/two.iso')
    await change(vmId, 'sdc', 'iso/two.iso')
    expect(await inDrives(vmId)).toEqual(both({ cd: '', cdrom2: 'two.iso', ...SEED }))
    await agent.vms.start(vmId, within())
    await change(vmId, 'sdb', 'iso/one.iso')
    await change(vmId, 'sdc', '')
    expect(await inDrives(vmId)).toEqual(both({ cd: 'one.iso', cdrom2: '', ...SEED }))
    await agent.vms.forceStop(vmId, within())
    expect((await failure(change(vmId, 'sdd', ''))).code).toBe(status.NOT_FOUND)
    expect((await failure(change(vmId, 'sde', 'iso/one.iso'))).code).toBe(status.NOT_FOUND)
    await agent.vms.delete(vmId, within())
  })

  test('names of control planes are counted after the disks of now', async () => {
    const vmId = await create(['first', 'second'])
    await change(vmId, 'sdb', 'iso/one.iso')
    await change(vmId, 'sdc', 'iso/two.iso')
    expect((await inDrives(vmId)).config).toEqual({ first: 'one.iso', second: 'two.iso', ...SEED })
    expect((await failure(change(vmId, 'sdd', ''))).code).toBe(status.NOT_FOUND)
    await agent.vms.delete(vmId, within())
  })

  test('an ISO of any pool is found by its relative path; what is none, or leads out of its pool, is not inserted', async () => {
    const vmId = await create(['cd'])
    await agent.pools.init({ poolId: 'isos', kind: 'LOCAL_DIR', options: {} }, context())
    const root = agent.pools.active().find(({ config }) => config.poolId === 'isos')?.backend.mountPath ?? ''
    await writeFile(path.join(root, 'other.iso'), 'x'.repeat(4096), { mode: 0o644 })
    await change(vmId, 'cd', 'iso/other.iso')
    expect((await inDrives(vmId)).config).toEqual({ cd: 'other.iso', ...SEED })
    await symlink('/etc/passwd', path.join(root, 'link.iso'))
    expect(await failure(change(vmId, 'cd', 'iso/absent.iso'))).toMatchObject({ code: status.NOT_FOUND })
    expect(await failure(change(vmId, 'cd', 'iso'))).toMatchObject({ code: status.NOT_FOUND })
    for (const bad of ['../x.iso', '/etc/passwd', 'link.iso']) {
      expect(await failure(change(vmId, 'cd', bad)), bad).toMatchObject({ code: status.INVALID_ARGUMENT })
    }
    expect((await inDrives(vmId)).config).toEqual({ cd: 'other.iso', ...SEED })
    await change(vmId, 'cd', '')
    await agent.pools.destroy('isos', context())
    await agent.vms.delete(vmId, within())
  })

  test('a VM that is unknown is told as such', async () => {
    const refused = await failure(change('11111111-2222-4333-8444-555555555555', 'sdb', ''))
    expect(refused).toMatchObject({ code: status.NOT_FOUND, details: expect.stringContaining('VM not found') })
  })
})
