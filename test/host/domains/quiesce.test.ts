import { execFile } from 'node:child_process'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { GuestAgent } from '../../../src/domains/guest-agent.ts'
import { MAX_FROZEN_MS } from '../../../src/domains/quiesce.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmRequest,
  within,
  type AgentParts,
  type OpenOptions,
} from './agent-fixture.ts'
import { startLinuxVm } from './linux-vm.ts'
import { killLibvirtd, startLibvirtd } from './private-libvirtd.ts'
import { makeTinyGuest, missingKernel } from './tiny-guest.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const noKernel = await requirePrerequisite('guest', missingKernel)
const child = path.join(import.meta.dirname, 'crash-change-child.ts')
const CREATE = 'remote:DOMAIN_SNAPSHOT_CREATE_XML'

describe.skipIf(missing !== undefined || noKernel !== undefined)('a guest that stands still for a snapshot', () => {
  const libvirtDir = inject('libvirtDir') ?? ''
  let base: string
  let guest: { kernel: string; initrd: string }
  let agent: AgentParts
  /** What happens around the next snapshot call of libvirt. */
  let around: ((call: () => Promise<unknown>) => Promise<unknown>) | undefined
  beforeAll(async () => {
    base = await makeBase()
    guest = await makeTinyGuest(base)
  })
  afterAll(() => removeBase(base))
  afterEach(() => endAgent(agent))

  const open = async (options: OpenOptions = {}) => {
    around = undefined
    const aroundCall: OpenOptions['aroundCall'] = async (name, call) => {
      const change = name === CREATE ? around : undefined
      if (change === undefined) return call()
      around = undefined
      return change(call)
    }
    agent = await openAgent(base, libvirtDir, { undoWaitMs: 500, aroundCall, ...options })
  }
  const sh = async (vmId: string, script: string) => {
    const command = { command: '/bin/sh', args: ['-c', script], timeoutMs: 20_000 }
    const { stdout, exitCode, stderr } = await agent.vms.guestExec(vmId, command, within())
    expect(exitCode, stderr).toBe(0)
    return stdout.trim()
  }
  /** A guest with a file system on its disk. */
  const create = async () => {
    const vmId = await startLinuxVm(agent, guest, { disks: [newDisk({ format: 'raw', sizeBytes: 16 * 1024 * 1024 })] })
    await sh(vmId, 'mke2fs /dev/vda && mkdir /mnt && mount -t ext4 /dev/vda /mnt && echo written >/mnt/note')
    return vmId
  }
  const take = (vmId: string) =>
    agent.snapshots.create(vmId, { name: 's', description: '', includeMemory: false, quiesce: true }, within(120))
  const settled = async () => {
    for (const { id } of agent.operations.list()) await agent.operations.wait(id, within())
  }
  const goesOn = async (vmId: string) => {
    expect(await new GuestAgent(agent.client, vmId).frozen(context())).toBe(false)
    await sh(vmId, 'echo more >/mnt/more && sync')
  }
  const nothingLeft = async (vmId: string) => {
    await agent.inventory.settle(vmId)
    expect(await agent.snapshots.list(vmId, within())).toEqual([])
    expect((await agent.inventory.entry(vmId, within())).facts.layers).toEqual([])
  }

  test('what it had not written is on the disk, whole; and it goes on', { timeout: 120_000 }, async () => {
    await open()
    const vmId = await create()
    const file = (await agent.vms.status(vmId, within())).disks[0]?.path ?? ''
    let frozen: boolean | undefined
    around = async (call) => {
      frozen = await new GuestAgent(agent.client, vmId).frozen(context())
      return call()
    }
    await take(vmId)
    expect(frozen).toBe(true)
    await goesOn(vmId)
    expect((await run('debugfs', ['-R', 'cat /note', file])).stdout).toBe('written\n')
    await run('e2fsck', ['-f', '-n', file])
    await agent.snapshots.delete(vmId, 's', within())
    await nothingLeft(vmId)
    await goesOn(vmId)
  })

  test(
    'one without an agent, or that freezes nothing, is refused before anything is changed',
    { timeout: 120_000 },
    async () => {
      await open()
      const { vmId } = await agent.vms.create(vmRequest(), within())
      await agent.vms.start(vmId, within())
      await expect(take(vmId)).rejects.toMatchObject({ reason: 'GUEST_AGENT_UNAVAILABLE' })
      await nothingLeft(vmId)
      const bare = await startLinuxVm(agent, guest)
      await expect(take(bare)).rejects.toMatchObject({ reason: 'GUEST_AGENT_REFUSED' })
      await nothingLeft(bare)
      expect(await new GuestAgent(agent.client, bare).frozen(context())).toBe(false)
    },
  )

  test.each([`before ${CREATE}`, `after ${CREATE}`])(
    'it goes on after the agent of the host was killed (%s)',
    { timeout: 120_000 },
    async (point) => {
      await open()
      const vmId = await create()
      await agent.close()
      const args = [child, base, libvirtDir, 'quiesce', point, vmId, JSON.stringify('s')]
      await expect(run(process.execPath, args, { timeout: 60_000 })).rejects.toMatchObject({ signal: 'SIGKILL' })
      await open()
      await settled()
      await goesOn(vmId)
      await nothingLeft(vmId)
    },
  )

  test('it goes on after libvirtd was killed', { timeout: 120_000 }, async () => {
    await open()
    const vmId = await create()
    around = async (call) => {
      await killLibvirtd(libvirtDir)
      await startLibvirtd(libvirtDir)
      return call()
    }
    const kept = await take(vmId).then(
      () => true,
      () => false,
    )
    await settled()
    await goesOn(vmId)
    if (!kept) await nothingLeft(vmId)
  })

  test('it goes on when the snapshot takes too long, which then is none', { timeout: 120_000 }, async () => {
    await open()
    const vmId = await create()
    around = async (call) => {
      await pause(MAX_FROZEN_MS + 2_000)
      await goesOn(vmId)
      return call()
    }
    await expect(take(vmId)).rejects.toMatchObject({ reason: 'GUEST_NOT_QUIESCED' })
    await settled()
    await goesOn(vmId)
    await nothingLeft(vmId)
  })
})
