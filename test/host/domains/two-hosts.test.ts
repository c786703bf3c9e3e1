import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import type { CreateVmRequest } from '../../../src/core/model.ts'
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
import { makeBootImage } from './boot-sector.ts'
import { downLibvirtd, upLibvirtd } from './private-libvirtd.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('two hosts that share a pool', () => {
  const bases: string[] = []
  let otherLibvirt: string
  let image: string
  let a: AgentParts
  let b: AgentParts
  let request: CreateVmRequest
  const poolPath = () => path.join(bases[0] ?? '', 'pool')
  const openA = () =>
    openAgent(bases[0] ?? '', inject('libvirtDir') ?? '', { sharedAs: 'host-a', poolPath: poolPath() })
  const openB = () =>
    openAgent(bases[1] ?? '', otherLibvirt, {
      sharedAs: 'host-b',
      poolPath: poolPath(),
      imageRoots: [path.dirname(image)],
    })
  beforeAll(async () => {
    bases.push(await makeBase(), await makeBase())
    image = path.join(bases[0] ?? '', 'images/boot.qcow2')
    await makeBootImage(image, 'ignores')
    otherLibvirt = await upLibvirtd()
  })
  beforeEach(async () => {
    a = await openA()
    b = await openB()
    // As a control plane does that takes one of them for dead: the same VM, on the same disk.
    request = vmRequest({}, { disks: [newDisk({ backingFile: image })] })
    for (const host of [a, b]) expect(await host.vms.create(request, within())).toMatchObject({ created: true })
  })
  afterEach(async () => {
    for (const host of [a, b]) await host.vms.forceStop(request.vmId, within())
    await until(async () => (await leases()).length === 0)
    await endAgent(b)
    await endAgent(a)
  })
  afterAll(async () => {
    await downLibvirtd(otherLibvirt)
    for (const base of bases) await removeBase(base)
  })

  // Without one that is only about to be taken: it gets its name when it is whole.
  const leases = async () =>
    (await readdir(path.join(poolPath(), '.limiquantix/leases')).catch((): string[] => [])).filter((name) =>
      name.includes('.lqx-lease-'),
    )
  const disk = () => {
    const short = request.vmId.slice(0, 8)
    return path.join(poolPath(), `vms/vm-${short}_${short}/root.qcow2`)
  }
  const stateOn = async (host: AgentParts) => (await host.vms.status(request.vmId, within())).state
  const elsewhere = { reason: 'VM_RUNS_ELSEWHERE' }

  test('one runs the VM; the other one is told who and since when, whatever it insists on, and deletes no disk', async () => {
    const { vmId } = request
    const before = new Date().toISOString()
    await a.vms.start(vmId, within())
    const refused = (await b.vms.start(vmId, within()).catch((error: unknown) => error)) as {
      details: { since: string }
      message: string
    }
    expect(refused).toMatchObject({ ...elsewhere, message: expect.stringContaining('host-a.example.org') })
    expect(refused.message).toContain('root is being written to')
    expect(refused.details.since > before).toBe(true)
    await expect(b.vms.start(vmId, within(), true)).rejects.toMatchObject(elsewhere)
    await expect(b.vms.delete(vmId, within())).rejects.toMatchObject(elsewhere)
    await stat(disk())
    expect(await stateOn(a)).toBe('RUNNING')
    await b.vms.create(request, within())
  })

  test('what is off is free for the other one', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    expect(await leases()).toEqual([`.${vmId}.lqx-lease-1`])
    await a.vms.forceStop(vmId, within())
    await until(async () => (await leases()).length === 0)
    await b.vms.start(vmId, within())
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
  })

  test('the silence of an agent says nothing about its guests; free locks do', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.close()
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
    // Its host dies without a word.
    a = await openAgent(bases[0] ?? '', inject('libvirtDir') ?? '', { poolPath: poolPath() })
    await a.vms.forceStop(vmId, within())
    expect(await leases()).toHaveLength(1)
    await b.vms.start(vmId, within())
    expect(await leases()).toEqual([`.${vmId}.lqx-lease-2`])
    // And comes back.
    await a.close()
    a = await openA()
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
    expect(await stateOn(b)).toBe('RUNNING')
  })

  test('a saved VM is not started elsewhere with changed disks, unless somebody insists', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.vms.save(vmId, within())
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject({
      ...elsewhere,
      message: expect.stringContaining('saved there'),
    })
    await a.vms.start(vmId, within())
    await a.vms.save(vmId, within())
    await b.vms.start(vmId, within(), true)
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
    await a.vms.dropSaved(vmId, within())
  })

  test('a guest that came from another host takes its lease along', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.close()
    const lease = path.join(poolPath(), `.limiquantix/leases/.${vmId}.lqx-lease-1`)
    await writeFile(
      lease,
      JSON.stringify({ holder: 'host-b', host: 'b', since: new Date().toISOString(), phase: 'running' }),
    )
    a = await openA()
    await until(async () => (await leases()).includes(`.${vmId}.lqx-lease-2`))
    // Where it came from it is off by now, and gives back nothing that is not its own.
    await b.vms.forceStop(vmId, within())
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
    expect(await leases()).toEqual([`.${vmId}.lqx-lease-2`])
  })

  test('saved memory elsewhere is not passed over because the VM runs here; dropping it gives the lease back', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.close()
    const lease = `.${vmId}.lqx-lease-1`
    await writeFile(
      path.join(poolPath(), '.limiquantix/leases', lease),
      JSON.stringify({ holder: 'host-b', host: 'b', since: new Date().toISOString(), phase: 'saved' }),
    )
    a = await openA()
    // Comes after a look at the lease, which has the lock of the VM.
    await a.vms.pause(vmId, within())
    expect(await leases()).toEqual([lease])
    await a.vms.forceStop(vmId, within())
    expect(await leases()).toEqual([lease])
    // Nothing is saved there any more.
    await b.vms.dropSaved(vmId, within())
    expect(await leases()).toEqual([])
  })

  test('nobody goes back to a snapshot of a VM that another host has', async () => {
    const { vmId } = request
    const snapshots = (host: AgentParts) => host.snapshots
    await snapshots(a).create(vmId, { name: 'before', description: '', includeMemory: false }, within())
    await snapshots(a).revert(vmId, 'before', within())
    // Off before, off after: it has no lease.
    expect(await leases()).toEqual([])
    const lease = path.join(poolPath(), `.limiquantix/leases/.${vmId}.lqx-lease-1`)
    await writeFile(
      lease,
      JSON.stringify({ holder: 'host-c', host: 'c', since: new Date().toISOString(), phase: 'saved' }),
    )
    await expect(snapshots(a).revert(vmId, 'before', within())).rejects.toMatchObject(elsewhere)
    await rm(lease)
    await snapshots(a).delete(vmId, 'before', within())
  })

  test('while another host runs on one file of a chain, no other one of them is merged or deleted either', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.snapshots.create(vmId, { name: 's', description: '', includeMemory: false }, within())
    const files = () => readdir(path.dirname(disk()))
    const both = await files()
    expect(both.filter((name) => name.endsWith('.qcow2'))).toHaveLength(2)
    await a.vms.forceStop(vmId, within())
    await until(async () => (await leases()).length === 0)
    // It knows nothing of the snapshot, so that its guest writes to what the other one has as a layer.
    await b.vms.start(vmId, within())
    const expected = { ...elsewhere, message: expect.stringContaining('is being written to') }
    await expect(a.snapshots.revert(vmId, 's', within())).rejects.toMatchObject(expected)
    await expect(a.snapshots.delete(vmId, 's', within())).rejects.toMatchObject(expected)
    expect(await a.snapshots.list(vmId, within())).toHaveLength(1)
    await expect(a.vms.delete(vmId, within())).rejects.toMatchObject(expected)
    expect(await files()).toEqual(both)
    expect(await leases()).toEqual([`.${vmId}.lqx-lease-1`])
    await b.vms.forceStop(vmId, within())
    await until(async () => (await leases()).length === 0)
    await a.vms.delete(vmId, within())
    await expect(files()).rejects.toThrow('ENOENT')
    await a.vms.create(request, within())
  })

  test('a VM is not started, or brought back, under linked clones that another host has made', async () => {
    const { vmId } = request
    const clone = vmRequest(
      { labels: { 'cloned-from': vmId, 'clone-type': 'LINKED' } },
      { disks: [newDisk({ id: 'disk0' })] },
    )
    await a.snapshots.create(vmId, { name: 'before', description: '', includeMemory: false }, within())
    await b.vms.create(clone, within())
    const inUse = { reason: 'VOLUME_IN_USE', message: expect.stringContaining(clone.vmId.slice(0, 8)) }
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(inUse)
    await expect(a.snapshots.revert(vmId, 'before', within())).rejects.toMatchObject(inUse)
    await b.vms.delete(clone.vmId, within())
    await a.snapshots.delete(vmId, 'before', within())
    await a.vms.start(vmId, within())
  })

  test('leases follow what others do: a start by hand, and an end while the agent was away', async () => {
    const { vmId } = request
    await a.client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom: domainRef(vmId), flags: 0 })
    await until(async () => (await leases()).length === 1)
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
    await a.close()
    a = await openAgent(bases[0] ?? '', inject('libvirtDir') ?? '', { poolPath: poolPath() })
    await a.vms.forceStop(vmId, within())
    await a.close()
    a = await openA()
    await until(async () => (await leases()).length === 0)
  })

  test('a lease that cannot be read is one all the same, and taken over by proof', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await writeFile(path.join(poolPath(), `.limiquantix/leases/.${vmId}.lqx-lease-1`), 'scribble')
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere)
    await a.vms.forceStop(vmId, within())
    await b.vms.start(vmId, within())
    expect(await leases()).toEqual([`.${vmId}.lqx-lease-2`])
  })
})
