import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { placeOf, type NodeEvent, type NodeEventType } from '../../../src/core/model.ts'
import { parseDomain } from '../../../src/domains/domain-info.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  POOL,
  removeBase,
  vmFiles,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('life of a VM', () => {
  let agent: AgentParts
  let polite: string
  let stubborn: string
  beforeAll(async () => {
    const base = await makeBase()
    agent = await openAgent(base, inject('libvirtDir') ?? '')
    polite = path.join(base, 'images/polite.qcow2')
    stubborn = path.join(base, 'images/stubborn.qcow2')
    await makeBootImage(polite, 'obeys')
    await makeBootImage(stubborn, 'ignores')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
  })

  const create = async (...args: Parameters<typeof vmRequest>) => {
    const request = vmRequest(...args)
    expect(await agent.vms.create(request, within())).toEqual({ vmId: request.vmId, created: true })
    return request.vmId
  }
  const overlay = (image: string) => ({ disks: [newDisk({ backingFile: image, sizeBytes: 0 })] })
  const stateOf = async (vmId: string) => (await agent.vms.status(vmId, within())).state
  const booted = (vmId: string) => waitForBoot(agent, vmId)

  test('a created VM is off, described as asked, and known again from libvirt alone', async () => {
    const vmId = await create(
      { name: 'web <&> "ü"', labels: { app: 'a&b\nc' } },
      {
        cpuCores: 4,
        cpuSockets: 2,
        disks: [newDisk({ backingFile: polite, sizeBytes: 8 * MIB }), newDisk({ id: 'data', bus: 'scsi' })],
        cloudInit: { userData: '#cloud-config\nx: 1\n', metaData: '', networkConfig: '', vendorData: '' },
      },
    )
    const info = await agent.vms.status(vmId, within())
    expect(info).toMatchObject({
      name: 'web <&> "ü"',
      state: 'STOPPED',
      managed: true,
      cpuCount: 4,
      memoryBytes: 64 * MIB,
      labels: { app: 'a&b\nc' },
      disks: [
        { id: 'root', targetDev: 'vda', bus: 'virtio', format: 'qcow2', sizeBytes: 8 * MIB },
        { id: 'data', targetDev: 'sda', bus: 'scsi', sizeBytes: 2 * MIB },
      ],
    })
    const xml = (await readDomainXml(agent.client, domainRef(vmId), vmId, within())) ?? ''
    const file = path.join(agent.base, 'domain.xml')
    await writeFile(file, xml)
    await run('virt-xml-validate', [file, 'domain'])
    const facts = parseDomain(xml)
    expect(facts.cdroms).toMatchObject([{ id: 'cloud-init', role: 'seed', targetDev: 'sdc' }])
    expect(xml).toMatch(/<target dev=.sdc. bus=.scsi./)
    expect(facts.paths).toContain(polite)
    expect(facts.disks[0]).toMatchObject({ poolId: POOL, owned: true })
    expect((await stat(facts.cdroms[0]?.path ?? '')).mode & 0o777).toBe(0o640)
    const { stdout } = await run('qemu-img', ['info', '--output=json', facts.disks[0]?.path ?? ''])
    expect(JSON.parse(stdout)).toMatchObject({
      'virtual-size': 8 * MIB,
      'backing-filename': polite,
      'backing-filename-format': 'qcow2',
    })
  })

  test('the same request again is the same VM; another one under its id is refused', async () => {
    const cloudInit = { userData: '#cloud-config\na: 1\n', metaData: '', networkConfig: '', vendorData: '' }
    const request = vmRequest({}, { cloudInit })
    const [one, two] = await Promise.all([agent.vms.create(request, within()), agent.vms.create(request, within())])
    expect([one.created, two.created]).toContain(true)
    expect(await agent.vms.create(request, within())).toEqual({ vmId: request.vmId, created: false })
    const bigger = { ...request, spec: { ...request.spec, memoryBytes: 128 * MIB } }
    await expect(agent.vms.create(bigger, within())).rejects.toMatchObject({ reason: 'VM_DIFFERENT' })
    const otherSeed = {
      ...request,
      spec: { ...request.spec, cloudInit: { ...cloudInit, userData: '#cloud-config\na: 2\n' } },
    }
    await expect(agent.vms.create(otherSeed, within())).rejects.toMatchObject({ reason: 'VM_DIFFERENT' })
    await agent.vms.delete(request.vmId, within())
  })

  test('start, pause, resume and force-stop do what they say, and once more is success', async () => {
    const vmId = await create({}, overlay(stubborn))
    const seen = collect(vmId)
    await agent.vms.start(vmId, within())
    await agent.vms.start(vmId, within())
    expect(await stateOf(vmId)).toBe('RUNNING')
    await booted(vmId)
    // Numbers that take long to get are told later.
    const listed = await until(async () =>
      (await agent.vms.list(within())).find((vm) => vm.vmId === vmId && vm.usage?.memoryTotalBytes),
    )
    expect(listed.usage?.memoryTotalBytes).toBe(64 * MIB)
    expect(listed.startedAt).toBeGreaterThan(0)
    await agent.vms.pause(vmId, within())
    await agent.vms.pause(vmId, within())
    expect(await stateOf(vmId)).toBe('PAUSED')
    await expect(agent.vms.start(vmId, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await expect(agent.vms.stop(vmId, 1, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await agent.vms.resume(vmId, within())
    await agent.vms.resume(vmId, within())
    await agent.vms.forceStop(vmId, within())
    await agent.vms.forceStop(vmId, within())
    expect(await stateOf(vmId)).toBe('STOPPED')
    await expect(agent.vms.pause(vmId, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await expect(agent.vms.resume(vmId, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await expect(agent.vms.reboot(vmId, within())).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
    await expect.poll(seen, { timeout: 30_000 }).toEqual(['VM_STARTED', 'VM_PAUSED', 'VM_RESUMED', 'VM_STOPPED'])
    await agent.vms.delete(vmId, within())
  })

  test('stop waits for a guest that obeys, and leaves one that does not running', async () => {
    const good = await create({}, overlay(polite))
    const bad = await create({}, overlay(stubborn))
    await Promise.all([agent.vms.start(good, within()), agent.vms.start(bad, within())])
    await Promise.all([booted(good), booted(bad)])
    await agent.vms.stop(good, 30, within())
    expect(await stateOf(good)).toBe('STOPPED')
    await agent.vms.stop(good, 30, within())
    await expect(agent.vms.stop(bad, 1, within())).rejects.toMatchObject({ reason: 'VM_STOP_TIMEOUT' })
    expect(await stateOf(bad)).toBe('RUNNING')
    const waiting = agent.vms.stop(bad, 60, within())
    await agent.vms.forceStop(bad, within())
    await waiting
    await agent.vms.start(bad, within())
    await agent.vms.stop(bad, 1, within(), true)
    expect(await stateOf(bad)).toBe('STOPPED')
    await agent.vms.delete(good, within())
    await agent.vms.delete(bad, within())
  })

  test('a guest that obeys is rebooted, with its event', async () => {
    const vmId = await create({}, overlay(polite))
    await agent.vms.start(vmId, within())
    await booted(vmId)
    const seen = collect(vmId)
    await agent.vms.reboot(vmId, within())
    await expect.poll(seen, { timeout: 30_000 }).toContain('VM_REBOOTED')
    expect(await stateOf(vmId)).toBe('RUNNING')
    await agent.vms.delete(vmId, within())
  })

  test('a QEMU that dies is a crash, not a stop', async () => {
    const vmId = await create({}, overlay(stubborn))
    await agent.vms.start(vmId, within())
    const seen = collect(vmId)
    const { stdout } = await run('pgrep', ['-f', `^[^ ]*qemu-system[^ ]* .*${vmId}`])
    process.kill(Number(stdout.trim()), 'SIGKILL')
    await expect.poll(seen, { timeout: 30_000 }).toEqual(['VM_CRASHED'])
    expect(await stateOf(vmId)).toBe('CRASHED')
    await agent.vms.start(vmId, within())
    expect(await stateOf(vmId)).toBe('RUNNING')
    await agent.vms.delete(vmId, within())
  })

  test('deleting a running VM powers it off and removes all that was made for it, and nothing else', async () => {
    const before = await vmFiles(agent)
    const foreign = path.join(agent.base, 'images/shared.qcow2')
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', foreign, '4M'])
    const spec = {
      firmware: 'uefi' as const,
      disks: [newDisk({ backingFile: stubborn }), newDisk({ id: 'shared', path: foreign, sizeBytes: 0 })],
    }
    const vmId = await create({}, spec)
    await agent.vms.start(vmId, within())
    const nvram = path.join(inject('libvirtDir') ?? '', 'lib/qemu/nvram')
    const vars = (await run('ls', [nvram])).stdout
    expect(vars).toContain(`vm-${vmId.slice(0, 8)}`)
    await agent.vms.delete(vmId, within())
    await agent.vms.delete(vmId, within())
    await expect(agent.vms.status(vmId, within())).rejects.toMatchObject({
      reason: 'VM_NOT_FOUND',
      message: `VM not found: ${vmId}`,
    })
    expect(await vmFiles(agent)).toEqual(before)
    expect((await run('ls', [nvram])).stdout).not.toContain(`vm-${vmId.slice(0, 8)}`)
    await stat(foreign)
    await stat(stubborn)
  })

  test('a foreign domain is listed as not managed, and deleting it leaves its files', async () => {
    const vmId = randomUUID()
    const file = path.join(agent.base, 'images/foreign.qcow2')
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', file, '4M'])
    const xml = `<domain type='qemu'><name>foreign</name><uuid>${vmId}</uuid><memory unit='MiB'>64</memory>
      <os><type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='vda' bus='virtio'/></disk></devices></domain>`
    await agent.client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml, flags: 0 })
    expect(await agent.vms.status(vmId, within())).toMatchObject({
      name: 'foreign',
      managed: false,
      disks: [{ id: 'vda' }],
    })
    await expect(agent.vms.create(vmRequest({ vmId }), within())).rejects.toMatchObject({ reason: 'VM_DIFFERENT' })
    await expect(agent.vms.create(vmRequest({ name: 'foreign' }), within())).rejects.toMatchObject({
      reason: 'VM_NAME_TAKEN',
    })
    await agent.vms.delete(vmId, within())
    await stat(file)
  })

  test('a volume and an ISO that are there are attached as they are, and stay when the VM goes', async () => {
    const owner = await create({}, overlay(polite))
    await mkdir(path.join(agent.poolRoot, 'iso'))
    const iso = path.join(agent.poolRoot, 'iso/tools.iso')
    await writeFile(iso, 'x'.repeat(4096))
    const volume = `vms/vm-${owner.slice(0, 8)}_${owner.slice(0, 8)}/root`
    const vmId = await create(
      {},
      {
        disks: [newDisk({ path: volume, sizeBytes: 0 })],
        cdroms: [{ id: 'tools', isoPath: 'iso/tools.iso', bootable: true }],
      },
    )
    const facts = parseDomain((await readDomainXml(agent.client, domainRef(vmId), vmId, within())) ?? '')
    const file = path.join(agent.poolRoot, `${volume}.qcow2`)
    expect(facts.paths).toEqual([file, polite, iso])
    expect(facts.disks).toMatchObject([{ owned: false, poolId: POOL, volume, sizeBytes: MIB }])
    expect(facts.cdroms).toMatchObject([{ id: 'tools', role: 'user', targetDev: 'sdb' }])
    await agent.vms.start(vmId, within())
    // Its owner may go, but not the disk under a guest that runs on it.
    const kept = agent.vms.delete(owner, within())
    await expect(kept).rejects.toMatchObject({ reason: 'VOLUME_IN_USE', message: expect.stringContaining(vmId) })
    await stat(file)
    await agent.vms.delete(vmId, within())
    await stat(file)
    await stat(iso)
    await agent.vms.delete(owner, within())
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('an image in another pool is not deleted under the disk that stands on it', async () => {
    const source = { type: 'file', path: polite, format: 'qcow2' } as const
    const spec = { name: 'cloud-images/base', format: 'qcow2', sizeBytes: MIB, owner: 'image:base' } as const
    await agent.pools.init({ poolId: 'images', kind: 'LOCAL_DIR', options: {} }, context())
    const volumes = createVolumeManager(agent.pools)
    const base = await volumes.create('images', { ...spec, content: { type: 'copy', source } }, context())
    const alias = path.join(agent.aliases, 'images/images/cloud-images/base.qcow2')
    const vmId = await create({}, overlay(alias))
    expect((await agent.inventory.entry(vmId, within())).facts.paths).toContain(placeOf(base.source))
    await expect(volumes.delete('images', spec.name, context())).rejects.toMatchObject({
      reason: 'VOLUME_IN_USE',
      message: expect.stringContaining(vmId),
    })
    await agent.vms.delete(vmId, within())
    expect(await volumes.delete('images', spec.name, context())).toBe('deleted')
    await agent.pools.destroy('images', context())
  })

  test('a pool is not destroyed while a VM has its disk there', async () => {
    const vmId = await create()
    const error = (await agent.pools.destroy(POOL, context()).catch((e: unknown) => e)) as Error
    expect(error).toMatchObject({ reason: 'POOL_IN_USE' })
    expect(error.message).toContain(vmId)
    await agent.vms.delete(vmId, within())
  })

  test('unknown ids are told as such by every call', async () => {
    const vmId = randomUUID()
    for (const call of ['start', 'forceStop', 'reboot', 'pause', 'resume', 'status'] as const) {
      await expect(agent.vms[call](vmId, within()), call).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
    }
    await expect(agent.vms.start('../x', within())).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
    expect(await agent.vms.guestPing((await create()).toString(), within())).toMatchObject({ available: false })
  })

  /** Event types of one VM as they come. */
  function collect(vmId: string): () => NodeEventType[] {
    const seen: NodeEvent[] = []
    const events = agent.vms.events(within())
    void (async () => {
      for await (const event of events) if (event.vmId === vmId) seen.push(event)
    })()
    return () => seen.map((event) => event.type)
  }
})
