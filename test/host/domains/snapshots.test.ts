import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DiskSpec } from '../../../src/core/model.ts'
import { imageInfo } from '../../../src/storage/qemu-img.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, newDisk, vmFiles, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { ask, failure, openGrpc } from './grpc-agent.ts'
import { startLinuxVm } from './linux-vm.ts'
import { makeTinyGuest, missingKernel } from './tiny-guest.ts'
import { useAgent } from './use-agent.ts'

const run = promisify(execFile)
/** The contract's PowerState as it comes over the wire. */
const PowerState = ['UNKNOWN', 'RUNNING', 'STOPPED', 'PAUSED']
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const noKernel = await requirePrerequisite('guest', missingKernel)

describe.skipIf(missing !== undefined)('snapshots of VMs', () => {
  const agent = useAgent()
  let grpc: Awaited<ReturnType<typeof openGrpc>>
  let boot: string
  beforeAll(async () => {
    grpc = await openGrpc({ vms: agent.vms, devices: agent.devices, snapshots: agent.snapshots })
    boot = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(boot, 'ignores')
  })
  afterAll(async () => {
    grpc.close()
  })

  const take = (vmId: string, name: string, description = '') =>
    ask(grpc.client, grpc.client.CreateSnapshot, { vmId, name, description, quiesce: true })
  const revert = (vmId: string, snapshotId: string) =>
    ask(grpc.client, grpc.client.RevertSnapshot, { vmId, snapshotId })
  const remove = (vmId: string, snapshotId: string) =>
    ask(grpc.client, grpc.client.DeleteSnapshot, { vmId, snapshotId })
  const list = async (vmId: string) =>
    (await ask(grpc.client, grpc.client.ListSnapshots, { vmId }))?.snapshots.map(
      ({ snapshotId, parentId, vmState }) => `${snapshotId}<${parentId} ${PowerState[vmState as number]}`,
    )
  const create = async (running: boolean, disks: Partial<DiskSpec>[] = [{}]) => {
    const [root, ...rest] = disks
    const request = vmRequest({}, { disks: [newDisk({ backingFile: boot, ...root }), ...rest.map(newDisk)] })
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  const stateOf = async (vmId: string) => (await agent.vms.status(vmId, within())).state
  const diskOf = async (vmId: string, id: string) =>
    (await agent.vms.status(vmId, within())).disks.find((disk) => disk.id === id)?.path ?? ''
  const write = (file: string, pattern: string) =>
    run('qemu-io', ['-f', 'qcow2', '-c', `write -P ${pattern} 0 64k`, file])
  const holds = async (file: string, pattern: string) =>
    !(await run('qemu-io', ['-f', 'qcow2', '-c', `read -P ${pattern} 0 64k`, file])).stdout.includes(
      'verification failed',
    )

  test.skipIf(noKernel !== undefined)(
    'a running guest goes back to what was in its memory and on its disk',
    { timeout: 120_000 },
    async () => {
      const vmId = await startLinuxVm(agent, await makeTinyGuest(agent.base))
      const sh = async (script: string) => {
        const { stdout } = await agent.vms.guestExec(
          vmId,
          { command: '/bin/sh', args: ['-c', script], timeoutMs: 20_000 },
          within(),
        )
        return stdout.trim()
      }
      await sh('echo kept >/run/note')
      const began = Date.now()
      const snapshot = await take(vmId, 'before upgrade', 'with <&> "ü"')
      expect(snapshot).toMatchObject({ snapshotId: 'before upgrade', description: 'with <&> "ü"', parentId: '' })
      const at = Number(snapshot?.createdAt?.seconds) * 1000
      expect(at).toBeGreaterThan(began - 5_000)
      expect(at).toBeLessThan(Date.now() + 5_000)
      expect(await stateOf(vmId)).toBe('RUNNING')
      await sh('echo lost >/run/note')
      await revert(vmId, 'before upgrade')
      expect(await stateOf(vmId)).toBe('RUNNING')
      expect(await sh('cat /run/note')).toBe('kept')
      await agent.vms.delete(vmId, within())
    },
  )

  test('a VM that is off goes back to what was on its disks', async () => {
    const before = await vmFiles(agent)
    const vmId = await create(false, [{}, { id: 'data' }])
    const data = await diskOf(vmId, 'data')
    await write(data, '0xaa')
    await take(vmId, 'a')
    await take(vmId, 'a')
    await write(data, '0xbb')
    await take(vmId, 'b')
    await write(data, '0xcc')
    expect(await list(vmId)).toEqual(['a< STOPPED', 'b<a STOPPED'])
    await revert(vmId, 'a')
    expect(await holds(data, '0xaa')).toBe(true)
    await take(vmId, 'c')
    await revert(vmId, 'b')
    expect(await holds(data, '0xbb')).toBe(true)
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    // Of a snapshot of a VM that was off it comes back off.
    await revert(vmId, 'c')
    expect(await stateOf(vmId)).toBe('STOPPED')
    expect(await holds(data, '0xaa')).toBe(true)
    expect(await list(vmId)).toEqual(['a< STOPPED', 'b<a STOPPED', 'c<a STOPPED'])
    await remove(vmId, 'a')
    await remove(vmId, 'a')
    expect(await list(vmId)).toEqual(['b< STOPPED', 'c< STOPPED'])
    await revert(vmId, 'b')
    expect(await holds(data, '0xbb')).toBe(true)
    expect((await imageInfo(data, 'qcow2', context())).snapshots.map(({ name }) => name).sort()).toEqual(['b', 'c'])
    await agent.vms.delete(vmId, within())
    expect(await vmFiles(agent)).toEqual(before)
  })

  test('snapshots of a running VM are taken, gone back to and deleted while it runs', async () => {
    const vmId = await create(true)
    await take(vmId, 'one')
    await take(vmId, 'zwei ä')
    expect(await list(vmId)).toEqual(['one< RUNNING', 'zwei ä<one RUNNING'])
    await agent.vms.forceStop(vmId, within())
    await revert(vmId, 'one')
    expect(await stateOf(vmId)).toBe('RUNNING')
    await remove(vmId, 'one')
    expect(await list(vmId)).toEqual(['zwei ä< RUNNING'])
    await agent.vms.forceStop(vmId, within())
    await remove(vmId, 'zwei ä')
    expect((await imageInfo(await diskOf(vmId, 'root'), 'qcow2', context())).snapshots).toEqual([])
    await agent.vms.start(vmId, within())
    await agent.vms.delete(vmId, within())
  })

  test('disks that came or went since: the VM goes back to those of then', async () => {
    const vmId = await create(false, [{}, { id: 'old' }])
    const old = await diskOf(vmId, 'old')
    await write(old, '0x11')
    await take(vmId, 'then')
    await write(old, '0x22')
    await agent.devices.detachDisk(vmId, 'old', within())
    await agent.devices.attachDisk(vmId, newDisk({ id: 'new' }), within())
    await revert(vmId, 'then')
    const { disks } = await agent.vms.status(vmId, within())
    expect(disks.map(({ id }) => id)).toEqual(['root', 'old'])
    expect(await holds(old, '0x11')).toBe(true)
    await agent.vms.start(vmId, within())
    await agent.vms.delete(vmId, within())
  })

  test("a disk that is another VM's by now is not overwritten", async () => {
    const vmId = await create(false, [{}, { id: 'data' }])
    const data = await diskOf(vmId, 'data')
    await write(data, '0x11')
    await take(vmId, 'then')
    await agent.devices.detachDisk(vmId, 'data', within())
    const other = await create(false)
    await agent.devices.attachDisk(other, newDisk({ id: 'mine', path: data }), within())
    await write(data, '0x22')
    const refused = await failure(revert(vmId, 'then'))
    expect(refused).toMatchObject({ code: status.FAILED_PRECONDITION, details: expect.stringContaining(other) })
    expect(refused.details).not.toMatch(/already|exists|not found/)
    expect(await holds(data, '0x22')).toBe(true)
    expect((await agent.vms.status(vmId, within())).disks.map(({ id }) => id)).toEqual(['root'])
    await agent.devices.detachDisk(other, 'mine', within())
    await revert(vmId, 'then')
    expect(await holds(data, '0x11')).toBe(true)
    for (const id of [other, vmId]) await agent.vms.delete(id, within())
  })

  test('what cannot be is refused with the reason', async () => {
    const refusal = async (call: Promise<unknown>) => {
      const { code, details } = await failure(call)
      expect(details).not.toMatch(/already|exists|not found/)
      return { code, details }
    }
    const vmId = await create(true)
    for (const bad of ['', '12', '../x', '-x', 'a/b', 'a\nb', 'x'.repeat(300)]) {
      expect((await refusal(take(vmId, bad))).code, bad).toBe(status.INVALID_ARGUMENT)
    }
    expect((await refusal(revert(vmId, 'never'))).code).toBe(status.NOT_FOUND)
    await take(vmId, 'x', 'one')
    expect((await refusal(take(vmId, 'x', 'another'))).code).toBe(status.ABORTED)
    expect(await list(vmId)).toHaveLength(1)
    await agent.vms.delete(vmId, within())
    expect((await failure(take(vmId, 'x'))).details).toContain('VM not found')
  })

  test('a snapshot that is not whole is not gone back to; one of the pool is neither replaced nor deleted', async () => {
    const vmId = await create(false, [{}, { id: 'data' }])
    const data = await diskOf(vmId, 'data')
    await take(vmId, 'whole')
    await run('qemu-img', ['snapshot', '-d', 'whole', data])
    const refused = await failure(revert(vmId, 'whole'))
    expect(refused).toMatchObject({ code: status.FAILED_PRECONDITION, details: expect.stringContaining('disk data') })
    await run('qemu-img', ['snapshot', '-c', 'pools', data])
    expect((await failure(take(vmId, 'pools'))).code).toBe(status.ABORTED)
    await remove(vmId, 'pools')
    expect((await imageInfo(data, 'qcow2', context())).snapshots.map(({ name }) => name)).toEqual(['pools'])
    await agent.vms.start(vmId, within())
    await waitForBoot(agent, vmId)
    await remove(vmId, 'whole')
    expect(await list(vmId)).toEqual([])
    await agent.vms.delete(vmId, within())
  })
})
