import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ToldStates } from '../../../src/controlplane/told-record.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { makeTinyGuest, missingKernel, tinyGuestDomain } from '../domains/tiny-guest.ts'
import { missingCommand, missingLibvirt, requirePrerequisite } from '../require.ts'

interface Vm {
  readonly id: string
  readonly state: number
  readonly stateChangeCount: number
  readonly ipAddresses: readonly string[]
}

const run = promisify(execFile)
const ADDRESS = '192.0.2.7'
const reason =
  (await requirePrerequisite('libvirt', missingLibvirt)) ??
  (await requirePrerequisite('guest', missingCommand('qemu-ga', 'busybox', 'cpio'))) ??
  (await requirePrerequisite('guest', missingKernel))

describe.skipIf(reason !== undefined)('the addresses of a guest', () => {
  const uri = `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`
  const virsh = async (...args: string[]) => (await run('virsh', ['-q', '-c', uri, ...args])).stdout.trim()
  const vmId = randomUUID()
  let directory: string
  let cp: StandInControlPlane
  let agent: AgentProcess

  const start = async () => {
    agent = await startAgent({
      directory,
      config: { hypervisor: { libvirt_uri: uri }, control_plane: { address: cp.url, registration_enabled: true } },
    })
  }
  const changes = () =>
    cp.requests
      .filter(({ method }) => method === 'NotifyVMChange')
      .map(({ body }) => (body as { vm: Vm }).vm)
      .filter(({ id }) => id === vmId)
  const fullStates = () => cp.requests.filter(({ method }) => method === 'SyncFullState')
  const inGuest = async (command: string) => {
    const answer = await fetch(`${agent.httpUrl}/api/v1/vms/${vmId}/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ command }),
    })
    return ((await answer.json()) as { exitCode?: number }).exitCode
  }

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-addresses-'))
    await chmod(directory, 0o711)
    cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, stateSync: true })
    const domain = path.join(directory, 'domain.xml')
    await writeFile(
      domain,
      tinyGuestDomain(vmId, 'real', await makeTinyGuest(directory)).replace('tiny-real', 'addressed'),
    )
    await virsh('define', domain)
    await start()
  }, 120_000)
  afterAll(async () => {
    await agent?.stop()
    await cp?.close()
    await virsh('destroy', vmId).catch(() => undefined)
    await virsh('undefine', vmId).catch(() => undefined)
    await rm(directory, { recursive: true, force: true })
  })

  test('are told when its agent tells them, without a change of its state, survive a restart of the agent, and end with its run', async () => {
    await until(() => Promise.resolve(fullStates().length > 0))
    await virsh('start', vmId)
    await until(async () => (await inGuest(`ip addr add ${ADDRESS}/24 dev lo`).catch(() => undefined)) === 0, 180_000)
    const known = await until(
      () => Promise.resolve(changes().find(({ ipAddresses }) => ipAddresses.length > 0)),
      180_000,
    )
    expect(known).toMatchObject({ ipAddresses: [ADDRESS], state: 1 })
    const { stateChangeCount } = known
    const before = changes()[changes().indexOf(known) - 1]
    expect(before).toMatchObject({ state: 1, stateChangeCount, ipAddresses: [] })
    // What was acknowledged is kept as heard a moment later; what is only kept as being told is told again.
    const file = path.join(agent.stateDir, 'store', 'told-states', 'told.json')
    await until(async () => {
      const { vms, telling } = JSON.parse(await readFile(file, 'utf8')) as ToldStates
      return telling?.vms[vmId] === undefined && vms[vmId]?.addresses?.includes(ADDRESS)
    })
    const told = changes().length

    agent.kill('SIGKILL')
    await agent.exited
    const seen = fullStates().length
    await start()
    const full = await until(() => Promise.resolve(fullStates()[seen]))
    expect((full.body as { vms: Vm[] }).vms.find(({ id }) => id === vmId)).toMatchObject({
      ...{ state: 1, stateChangeCount, ipAddresses: [ADDRESS] },
    })
    expect(changes()).toHaveLength(told)

    await virsh('destroy', vmId)
    const off = await until(() => Promise.resolve(changes()[told]))
    expect(off).toMatchObject({ state: 2, ipAddresses: [], stateChangeCount: stateChangeCount + 1 })
    expect(cp.violations).toEqual([])
  }, 400_000)
})
