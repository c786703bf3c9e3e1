import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { makeBootImage } from '../domains/boot-sector.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'

interface Change {
  readonly vm: { readonly id: string; readonly state: number; readonly stateChangeCount: number }
  readonly eventType: number
  readonly previousState?: number
}

const run = promisify(execFile)
const RUNNING = 1
const STOPPED = 2

describe.skipIf(await requirePrerequisite('libvirt', missingLibvirt))('VMs as a control plane is told of them', () => {
  const uri = `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`
  const virsh = async (...args: string[]) => (await run('virsh', ['-q', '-c', uri, ...args])).stdout.trim()
  const vmId = randomUUID()
  let directory: string
  let cp: StandInControlPlane
  let agent: AgentProcess

  const start = async () => {
    agent = await startAgent({
      directory,
      config: {
        hypervisor: { libvirt_uri: uri, domain_type: 'qemu', networks: { default: 'user' } },
        control_plane: { address: cp.url, registration_enabled: true, import_foreign_vms: false },
      },
    })
  }
  const changes = () =>
    cp.requests
      .filter(({ method }) => method === 'NotifyVMChange')
      .map(({ body }) => body as Change)
      .filter(({ vm }) => vm.id === vmId)
  const told = async (count: number) => {
    await until(() => Promise.resolve(changes().length >= count), 60_000)
    return changes()
  }

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-agent-'))
    await chmod(directory, 0o711)
    cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, stateSync: true })
  })
  afterEach(async () => {
    await agent.stop()
    await cp.close()
    await virsh('destroy', vmId).catch(() => undefined)
    await virsh('undefine', vmId, '--nvram').catch(() => undefined)
    await rm(directory, { recursive: true, force: true })
  })

  test('each change comes once, whoever made it, also of the time when the agent was dead or nobody listened', async () => {
    await start()
    const node = new NodeClient(agent.grpcAddress)
    const image = path.join(agent.stateDir, 'cloud-images', 'boot.qcow2')
    await makeBootImage(image, 'ignores')
    await until(() => Promise.resolve(cp.requests.some(({ method }) => method === 'SyncFullState')))
    const disks = [{ id: 'root', backingFile: image, sizeGib: 1, bootable: true }]
    await node.call('CreateVM', { vmId, name: 'told', spec: { cpuCores: 1, memoryMib: 64, disks } }, 60_000)
    await told(1)
    await node.call('StartVM', { vmId }, 60_000)
    expect(await told(2)).toMatchObject([
      { eventType: 1, vm: { state: STOPPED } },
      { eventType: 2, vm: { state: RUNNING, stateChangeCount: 2 }, previousState: STOPPED },
    ])
    node.close()

    await virsh('destroy', vmId)
    expect((await told(3)).at(-1)).toMatchObject({ eventType: 2, vm: { state: STOPPED }, previousState: RUNNING })

    agent.kill('SIGKILL')
    await agent.exited
    await virsh('start', vmId)
    await start()
    expect((await told(4)).at(-1)).toMatchObject({ eventType: 2, vm: { state: RUNNING, stateChangeCount: 4 } })

    await cp.pause()
    await virsh('destroy', vmId)
    await virsh('undefine', vmId, '--nvram')
    await until(() =>
      Promise.resolve(agent.log.some(({ msg }) => String(msg).includes('could not be told of a change'))),
    )
    await cp.resume()
    expect((await told(5)).at(-1)).toMatchObject({ eventType: 3, vm: { state: STOPPED }, previousState: RUNNING })
    expect(changes()).toHaveLength(5)
    expect(cp.violations).toEqual([])
  })
})
