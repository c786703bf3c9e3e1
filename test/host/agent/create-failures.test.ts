import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import type { FleetNode } from '../../control-plane/fleet.ts'
import { NodeCallError, NodeClient } from '../../control-plane/node-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import type { AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, missingRoot, requirePrerequisite } from '../require.ts'
import { GRPC_PORT, loopbackAddress, startLoopbackAgent } from './loopback-agents.ts'

const run = promisify(execFile)
const address = loopbackAddress(10)
const missing = await requirePrerequisite('libvirt', () => missingRoot() ?? missingLibvirt())

describe.skipIf(missing !== undefined)('a VM that cannot be created', { timeout: 300_000 }, () => {
  const libvirt = {
    libvirt_uri: `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`,
    domain_type: 'qemu',
    networks: { default: 'user' },
  }
  const image = () => path.join(agent.stateDir, 'cloud-images', 'base.qcow2')
  const small = () => path.join(directory, 'small')
  let directory: string
  let cp: StandInControlPlane
  let agent: AgentProcess
  let node: FleetNode
  let client: NodeClient

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-create-'))
    await chmod(directory, 0o711)
    cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, nodeGrpcPort: GRPC_PORT })
  })
  afterEach(async () => {
    for (const { vmId } of await onNode()) await client.call('DeleteVM', { vmId }, 60_000)
    client.close()
    await agent.stop()
    await cp.close()
    for (const mounted of [small(), path.join(agent.stateDir, 'vms')])
      await run('umount', ['-l', mounted]).catch(() => undefined)
    await rm(directory, { recursive: true, force: true })
  })

  const start = async (hypervisor: object = {}) => {
    const config = { hypervisor: { ...libvirt, ...hypervisor } }
    agent = await startLoopbackAgent({ address, hostname: 'hv-create', controlPlane: cp.url, directory, config })
    client = new NodeClient(`${address}:${GRPC_PORT}`)
    node = await until(() => Promise.resolve([...cp.fleet.nodes.values()][0]))
    await until(async () => (await client.call<{ healthy: boolean }>('HealthCheck')).healthy)
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', image(), '1M'])
  }
  const onNode = async () => (await client.call<{ vms: { vmId: string; name: string }[] }>('ListVMs')).vms
  const recorded = () => [...cp.fleet.vms.values()].map(({ id }) => id).sort()
  /** All that a creation makes: disks, seeds, directories. */
  const files = async () => {
    const below = async (root: string) =>
      ((await readdir(root, { recursive: true }).catch(() => [])) as string[]).sort()
    return [await below(path.join(agent.stateDir, 'images')), await below(path.join(agent.stateDir, 'vms'))]
  }
  const request = (change: { vmId?: string; disks?: object[]; [field: string]: unknown } = {}) => {
    const { vmId = randomUUID(), disks = [], ...spec } = change
    const boot = { id: 'root', backingFile: image(), sizeGib: 1, bootable: true }
    const cloudInit = { userData: '#cloud-config\nhostname: x\n' }
    return {
      vmId,
      name: `vm-${vmId.slice(0, 8)}`,
      spec: { cpuCores: 1, memoryMib: 64, disks: [boot, ...disks], cloudInit, ...spec },
    }
  }

  // In the order of the steps. Each has a cause of its own, and everything before it has been made by then.
  const causes: readonly (readonly [string, string, () => Promise<object>, object])[] = [
    ['at its check', 'VM_SPEC_INVALID', () => Promise.resolve(request({ memoryMib: 0 })), {}],
    [
      'for a backing image that is missing',
      'BACKING_FILE_MISSING',
      () => Promise.resolve(request({ disks: [{ id: 'second', backingFile: `${image()}.gone` }] })),
      {},
    ],
    [
      'at its second disk, in a pool that is full',
      'POOL_FULL',
      async () => {
        await mkdir(small(), { mode: 0o711 })
        await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0711', 'tmpfs', small()])
        const pool = { poolId: 'small', type: 'STORAGE_POOL_TYPE_LOCAL_DIR', config: { local: { path: small() } } }
        await client.call('InitStoragePool', pool)
        return request({ disks: [{ id: 'second', poolId: 'small', sizeGib: 8 }] })
      },
      {},
    ],
    [
      'at its seed, for which the disk has no room',
      'COMMAND_FAILED',
      async () => {
        const vms = path.join(agent.stateDir, 'vms')
        await mkdir(vms, { recursive: true, mode: 0o711 })
        await run('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=0711', 'tmpfs', vms])
        return request()
      },
      {},
    ],
    [
      'at its definition, which libvirt refuses',
      'LIBVIRT_REFUSED',
      () => Promise.resolve(request()),
      { emulator: '/bin/false' },
    ],
  ]

  it.each(causes)('%s leaves no record, no domain and no file (%s)', async (_step, reason, prepare, hypervisor) => {
    await start(hypervisor)
    const what = (await prepare()) as ReturnType<typeof request>
    const before = await files()
    const refused = await cp.connections?.createVm(node.id, what).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(NodeCallError)
    expect(String(refused)).not.toMatch(/already|exists|not found/i)
    expect((refused as NodeCallError).metadata.get('limiquantix-reason')).toEqual([reason])
    expect([await onNode(), recorded()]).toEqual([[], []])
    expect(await files()).toEqual(before)
    expect(cp.violations).toEqual([])
  })

  it('because the agent dies in the middle is nowhere, or everywhere, when it is back', async () => {
    await start()
    for (const afterMs of [20, 150, 400]) {
      const what = request()
      const outcome = cp.connections?.createVm(node.id, what).then(
        () => 'created',
        () => 'failed',
      )
      // Any moment will do.
      await pause(afterMs)
      agent.kill('SIGKILL')
      await agent.exited
      client.close()
      const said = await outcome
      await start()
      await until(() => Promise.resolve(agent.log.some(({ msg }) => msg === 'ready')))
      const here = async () => (await onNode()).map(({ vmId }) => vmId).sort()
      if (said === 'created') expect(await here()).toContain(what.vmId)
      // Whole and unknown to the control plane: told of, it makes a record again.
      await until(async () => JSON.stringify(await here()) === JSON.stringify(recorded()))
      expect(
        await cp.connections?.createVm(node.id, {
          ...what,
          ...((await here()).includes(what.vmId) ? {} : { vmId: randomUUID() }),
        }),
      ).toBeUndefined()
      expect(await here()).toEqual(recorded())
    }
    expect(cp.violations).toEqual([])
  })
})
