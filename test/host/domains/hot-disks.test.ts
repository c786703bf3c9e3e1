import { execFile } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GIB, MIB } from '../../../src/core/bytes.ts'
import { readHalves } from '../../../src/domains/domain-halves.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, newDisk, POOL, vmFiles, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { ask, failure, openGrpc } from './grpc-agent.ts'
import { startLinuxVm } from './linux-vm.ts'
import { makeTinyGuest, missingKernel } from './tiny-guest.ts'
import { useAgent } from './use-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const noKernel = await requirePrerequisite('guest', missingKernel)

describe.skipIf(missing !== undefined)('disks that are added to VMs and taken out', () => {
  const agent = useAgent({ releaseMs: 6_000 })
  let grpc: Awaited<ReturnType<typeof openGrpc>>
  let boot: string
  beforeAll(async () => {
    grpc = await openGrpc({ vms: agent.vms, devices: agent.devices })
    boot = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(boot, 'ignores')
  })
  afterAll(async () => {
    grpc.close()
  })

  /** As control planes send it: an id, a size and a bus. */
  const attach = (vmId: string, id: string, disk: object = {}) =>
    ask(grpc.client, grpc.client.AttachDisk, { vmId, disk: { id, sizeGib: 1, ...disk } })
  const detach = (vmId: string, diskId: string) => ask(grpc.client, grpc.client.DetachDisk, { vmId, diskId })
  const create = async (running = false) => {
    const request = vmRequest({}, { disks: [newDisk({ backingFile: boot })] })
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  /** Ids of the disks, in the running guest and at its next start. */
  const disksOf = async (vmId: string) => {
    const { live, config } = await readHalves(agent.client, vmId, within())
    const ids = (facts: typeof config.facts) => facts.disks.map(({ id, targetDev }) => `${id}@${targetDev}`)
    return { live: live === undefined ? undefined : ids(live.facts), config: ids(config.facts) }
  }
  const both = (...ids: string[]) => ({ live: ids, config: ids })

  test.skipIf(noKernel !== undefined)(
    'a running guest gets a disk and lets it go again; the next start sees the same',
    { timeout: 120_000 },
    async () => {
      const before = await vmFiles(agent)
      const vmId = await startLinuxVm(agent, await makeTinyGuest(agent.base))
      await attach(vmId, 'disk-1700000000000000001')
      await attach(vmId, 'disk-1700000000000000001')
      expect(await disksOf(vmId)).toEqual(both('root@vda', 'disk-1700000000000000001@vdb'))
      const { disks } = await agent.vms.status(vmId, within())
      expect(disks[1]).toMatchObject({ sizeBytes: GIB, bus: 'virtio', format: 'qcow2' })
      // Next to the first disk, under the name of the new one.
      expect(path.dirname(disks[1]?.path ?? '')).toBe(path.dirname(disks[0]?.path ?? ''))
      expect((await failure(attach(vmId, 'disk-1700000000000000001', { sizeGib: 9 }))).code).toBe(status.ABORTED)

      await attach(vmId, 'scsi', { bus: 1 })
      expect(await disksOf(vmId)).toEqual(both('root@vda', 'disk-1700000000000000001@vdb', 'scsi@sda'))
      await detach(vmId, 'scsi')
      await detach(vmId, 'disk-1700000000000000001')
      await detach(vmId, 'disk-1700000000000000001')
      expect(await disksOf(vmId)).toEqual(both('root@vda'))
      await stat(disks[1]?.path ?? '')

      await agent.vms.forceStop(vmId, within())
      await agent.vms.start(vmId, within())
      expect(await disksOf(vmId)).toEqual(both('root@vda'))
      // What was taken out stays when the VM goes; it is deleted as a volume.
      await agent.vms.delete(vmId, within())
      await stat(disks[1]?.path ?? '')
      for (const name of ['disk-1700000000000000001', 'scsi']) {
        const volume = `vms/vm-${vmId.slice(0, 8)}_${vmId.slice(0, 8)}/${name}`
        await (await agent.pools.require(POOL, context())).backend.deleteVolume(volume, context())
      }
      expect((await vmFiles(agent)).filter((file) => file.endsWith('.qcow2'))).toEqual(
        before.filter((file) => file.endsWith('.qcow2')),
      )
    },
  )

  test('a guest that does not let a disk go keeps it whole, for now and for its next start', async () => {
    const vmId = await create(true)
    await attach(vmId, 'data')
    const refused = await failure(detach(vmId, 'data'))
    expect(refused).toMatchObject({ code: status.DEADLINE_EXCEEDED, details: expect.stringContaining('data (vdb)') })
    expect(await disksOf(vmId)).toEqual(both('root@vda', 'data@vdb'))
    await agent.vms.forceStop(vmId, within())
    expect(await disksOf(vmId)).toEqual({ live: undefined, config: ['root@vda', 'data@vdb'] })
    await detach(vmId, 'vdb')
    expect(await disksOf(vmId)).toEqual({ live: undefined, config: ['root@vda'] })
    await agent.vms.delete(vmId, within())
  })

  test('a VM that is off takes disks on every bus, and starts with them', async () => {
    const before = await vmFiles(agent)
    const vmId = await create()
    // NVMe, SATA and IDE of control planes are all SATA here.
    for (const [id, bus] of Object.entries({ v: 0, s: 1, t: 2, u: 3, w: 4 })) await attach(vmId, id, { bus })
    await attach(vmId, 'raw', { format: 1 })
    expect((await disksOf(vmId)).config.toSorted()).toEqual([
      'raw@vdc',
      'root@vda',
      's@sda',
      // The seed is sdb.
      't@sdc',
      'u@sdd',
      'v@vdb',
      'w@sde',
    ])
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    expect((await disksOf(vmId)).live).toHaveLength(7)
    expect((await failure(attach(vmId, 'hot', { bus: 3 }))).details).toMatch(
      /SATA disk hot cannot be added while it runs/,
    )
    await agent.vms.delete(vmId, within())
    // Disks that were added are the VM's own: they go with it.
    expect(await vmFiles(agent)).toEqual(before)
  })

  test('when the last place is taken nothing is left of the disk that has none', async () => {
    const vmId = await create(true)
    const files = async () => (await readdir(agent.poolRoot, { recursive: true })).sort()
    let refused: Awaited<ReturnType<typeof failure>> | undefined
    let before: string[] = []
    let disks: Awaited<ReturnType<typeof disksOf>> | undefined
    for (let index = 0; index < 20 && refused === undefined; index++) {
      before = await files()
      disks = await disksOf(vmId)
      refused = await attach(vmId, `many-${index}`).then(
        () => undefined,
        (error: unknown) => error as Awaited<ReturnType<typeof failure>>,
      )
    }
    expect(refused).toMatchObject({ code: status.FAILED_PRECONDITION })
    expect(disks?.live?.length).toBeGreaterThanOrEqual(7)
    expect(await files()).toEqual(before)
    expect(await disksOf(vmId)).toEqual(disks)
    await agent.vms.forceStop(vmId, within())
    await attach(vmId, 'cold')
    await agent.vms.start(vmId, within())
    expect((await disksOf(vmId)).live).toContainEqual(expect.stringMatching(/^cold@/))
    await agent.vms.delete(vmId, within())
  })

  test('a disk that is there is attached as it is; one that another guest writes to, or the VM has, is not', async () => {
    const vmId = await create()
    const file = path.join(agent.base, 'images/data.qcow2')
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', file, '4M'])
    await attach(vmId, 'shared', { path: file, sizeGib: 0 })
    expect((await failure(attach(vmId, 'again', { path: file, sizeGib: 0 }))).code).toBe(status.ABORTED)
    await agent.vms.start(vmId, within())
    const other = await create()
    const refused = await failure(attach(other, 'theirs', { path: file, sizeGib: 0 }))
    expect(refused).toMatchObject({ code: status.FAILED_PRECONDITION, details: expect.stringContaining(vmId) })
    await agent.vms.delete(vmId, within())
    expect((await stat(file)).size).toBeGreaterThan(0)
    await attach(other, 'theirs', { path: file, sizeGib: 0 })
    await detach(other, 'theirs')
    await agent.vms.delete(other, within())
    await stat(file)
  })

  test('the volume of an earlier disk is neither used nor lost', async () => {
    const vmId = await create()
    await attach(vmId, 'data')
    await detach(vmId, 'data')
    const again = await failure(attach(vmId, 'data'))
    expect(again).toMatchObject({ code: status.ABORTED, details: expect.stringContaining('earlier disk') })
    const volume = `vms/vm-${vmId.slice(0, 8)}_${vmId.slice(0, 8)}/data`
    await attach(vmId, 'data', { path: volume, poolId: POOL, sizeGib: 0 })
    expect(await disksOf(vmId)).toMatchObject({ config: ['root@vda', 'data@vdb'] })
    await agent.vms.delete(vmId, within())
  })

  test('what is wrong with a request is told', async () => {
    const vmId = await create()
    const details = async (call: Promise<unknown>) => {
      const { code, details } = await failure(call)
      expect(details).not.toMatch(/already|exists|not found/)
      return [code, details] as const
    }
    expect(await details(detach(vmId, 'nothing'))).toEqual([status.NOT_FOUND, expect.stringContaining('"nothing"')])
    expect(await details(ask(grpc.client, grpc.client.AttachDisk, { vmId }))).toEqual([
      status.INVALID_ARGUMENT,
      'disk: must be given',
    ])
    expect(await details(attach(vmId, 'x', { sizeGib: 0 }))).toEqual([
      status.INVALID_ARGUMENT,
      expect.stringContaining('disk.size_gib'),
    ])
    expect((await details(attach(vmId, '../x')))[0]).toBe(status.INVALID_ARGUMENT)
    expect((await details(attach(vmId, 'cloud-init')))[0]).toBe(status.INVALID_ARGUMENT)
    expect((await failure(attach(vmId, 'x', { poolId: 'nowhere' }))).code).toBe(status.NOT_FOUND)
    const unknown = await failure(attach('11111111-2222-4333-8444-555555555555', 'x'))
    expect(unknown.details).toContain('VM not found')
    expect((await agent.vms.status(vmId, within())).disks).toMatchObject([{ id: 'root', sizeBytes: 2 * MIB }])
    await agent.vms.delete(vmId, within())
  })
})
