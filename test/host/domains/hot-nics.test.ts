import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { attachDevice } from '../../../src/domains/attach-device.ts'
import { readHalves } from '../../../src/domains/domain-halves.ts'
import { editMetadata, withEntry } from '../../../src/domains/metadata-edit.ts'
import { nicXml } from '../../../src/domains/nic-xml.ts'
import { VIR_DOMAIN_AFFECT } from '../../../src/libvirt/constants.ts'
import { missingCommand, missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { ask, failure, openGrpc } from './grpc-agent.ts'
import { startLinuxVm } from './linux-vm.ts'
import { makeTinyGuest, missingKernel } from './tiny-guest.ts'
import { useAgent } from './use-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const noKernel = await requirePrerequisite('guest', missingKernel)
const noBridges = await requirePrerequisite('tc', missingCommand('ip', 'tc'))

const NETWORK = 'a1b2c3d4-0000-4000-8000-000000000001'
const FAULT = 'a fault of this test'
const MAC = '52:54:00:aa:bb:01'
const bridge = `lqx${process.pid}`

describe.skipIf(missing !== undefined)('NICs that are added to VMs and taken out', () => {
  /** Whether a call to libvirt is to fail. */
  let fails: (name: string) => boolean = () => false
  const agent = useAgent({
    networks: { default: 'user', [NETWORK]: 'user', limited: `bridge:${bridge}` },
    releaseMs: 6_000,
    aroundCall: (name, call) => (fails(name) ? Promise.reject(new AgentError('CONFLICT', FAULT)) : call()),
  })
  let grpc: Awaited<ReturnType<typeof openGrpc>>
  beforeAll(async () => {
    grpc = await openGrpc({ vms: agent.vms, devices: agent.devices })
    await makeBootImage(path.join(agent.base, 'images/boot.qcow2'), 'ignores')
  })
  afterAll(async () => {
    grpc.close()
  })

  /** As control planes send it. */
  const attach = (vmId: string, id: string, nic: object = {}) =>
    ask(grpc.client, grpc.client.AttachNIC, { vmId, nic: { id, macAddress: MAC, network: NETWORK, ...nic } })
  const detach = (vmId: string, nicId: string) => ask(grpc.client, grpc.client.DetachNIC, { vmId, nicId })
  const create = async (running: boolean) => {
    const request = vmRequest({}, { disks: [newDisk({ backingFile: path.join(agent.base, 'images/boot.qcow2') })] })
    await agent.vms.create(request, within())
    if (running) {
      await agent.vms.start(request.vmId, within())
      await waitForBoot(agent, request.vmId)
    }
    return request.vmId
  }
  const nicsOf = async (vmId: string) => {
    const { live, config } = await readHalves(agent.client, vmId, within())
    const ids = (facts: typeof config.facts) => facts.nics.map(({ id, model }) => `${id}/${model}`)
    return { live: live === undefined ? undefined : ids(live.facts), config: ids(config.facts) }
  }
  const both = (...ids: string[]) => ({ live: ids, config: ids })

  test.skipIf(noKernel !== undefined)(
    'a running guest gets a NIC and lets it go again, by id or MAC address',
    { timeout: 120_000 },
    async () => {
      const vmId = await startLinuxVm(agent, await makeTinyGuest(agent.base))
      await attach(vmId, 'nic-1700000000000000001')
      await attach(vmId, 'nic-1700000000000000001')
      expect(await nicsOf(vmId)).toEqual(both('nic0/virtio', 'nic-1700000000000000001/virtio'))
      // 2 is what control planes call E1000E.
      await attach(vmId, 'second', { macAddress: '', model: 2 })
      expect((await agent.devices.nics(vmId, within()))[2]).toMatchObject({
        id: 'second',
        model: 'e1000e',
        linkUp: true,
      })
      await detach(vmId, MAC.toUpperCase())
      await detach(vmId, 'second')
      await detach(vmId, 'second')
      expect(await nicsOf(vmId)).toEqual(both('nic0/virtio'))
      await agent.vms.forceStop(vmId, within())
      await agent.vms.start(vmId, within())
      expect(await nicsOf(vmId)).toEqual(both('nic0/virtio'))
      await agent.vms.delete(vmId, within())
    },
  )

  test('a guest that does not let a NIC go keeps it, a VM that is off does not', async () => {
    const vmId = await create(true)
    await attach(vmId, 'extra')
    expect((await failure(detach(vmId, 'extra'))).code).toBe(status.DEADLINE_EXCEEDED)
    expect(await nicsOf(vmId)).toEqual(both('nic0/virtio', 'extra/virtio'))
    await agent.vms.forceStop(vmId, within())
    await detach(vmId, 'extra')
    await attach(vmId, 'cold', { model: 1 })
    expect(await nicsOf(vmId)).toEqual({ live: undefined, config: ['nic0/virtio', 'cold/e1000'] })
    await agent.vms.start(vmId, within())
    expect(await nicsOf(vmId)).toEqual(both('nic0/virtio', 'cold/e1000'))
    await agent.vms.delete(vmId, within())
  })

  test('the cable of a NIC is pulled and plugged, in the running guest and for its next start', async () => {
    const vmId = await create(true)
    const links = async () => {
      const { live, config } = await readHalves(agent.client, vmId, within())
      return [live?.facts.nics[0]?.linkUp, config.facts.nics[0]?.linkUp]
    }
    expect(await agent.devices.changeNic(vmId, 'nic0', { linkUp: false }, within())).toMatchObject({ linkUp: false })
    await agent.devices.changeNic(vmId, 'nic0', { linkUp: false }, within())
    expect(await links()).toEqual([false, false])
    await agent.devices.changeNic(vmId, 'nic0', { linkUp: true }, within())
    expect(await links()).toEqual([true, true])
    await agent.vms.delete(vmId, within())
  })

  test.skipIf(noBridges !== undefined)('a NIC on a bridge is limited, and the limit goes again', async () => {
    await run('ip', ['link', 'add', bridge, 'type', 'bridge'])
    try {
      const vmId = await create(false)
      await attach(vmId, 'wan', { network: 'limited' })
      const limits = async () => {
        const { live, config } = await readHalves(agent.client, vmId, within())
        return [live, config].map((half) => half?.facts.nics[1]?.bandwidthMbps)
      }
      const limit = (bandwidthMbps: number) => agent.devices.changeNic(vmId, 'wan', { bandwidthMbps }, within())
      expect(await limit(100)).toMatchObject({ network: bridge, bandwidthMbps: 100 })
      await agent.devices.changeNic(vmId, MAC, { linkUp: false }, within())
      expect(await limits()).toEqual([undefined, 100])
      await limit(0)
      await agent.vms.start(vmId, within())
      // Not every kernel can limit a running one (sch_sfq): then it is refused, and the next start stays as it was too.
      const refused = await limit(50).then(
        () => false,
        () => true,
      )
      expect(await limits()).toEqual(refused ? [0, 0] : [50, 50])
      await agent.vms.delete(vmId, within())
    } finally {
      await run('ip', ['link', 'del', bridge])
    }
  })

  test('an attach that fails takes out only what it has put in', async () => {
    const off = await create(false)
    await attach(off, 'extra')
    let reads = 0
    // The first reading is that of what was there before.
    fails = (name) => name === 'remote:DOMAIN_GET_XML_DESC' && ++reads === 2
    expect((await failure(attach(off, 'extra'))).details).toContain(FAULT)
    expect(await nicsOf(off)).toEqual({ live: undefined, config: ['nic0/virtio', 'extra/virtio'] })

    const on = await create(true)
    const note = (text: string) => withEntry(text, 'nics', { id: 'extra', mac: MAC })
    await editMetadata(agent.client, on, VIR_DOMAIN_AFFECT.CONFIG | VIR_DOMAIN_AFFECT.LIVE, note, within())
    const xml = nicXml({ id: 'extra', macAddress: MAC, model: 'virtio', target: { type: 'user' } }, undefined)
    await attachDevice(on, xml, VIR_DOMAIN_AFFECT.CONFIG, 'extra', agent.client)
    const half = { live: ['nic0/virtio'], config: ['nic0/virtio', 'extra/virtio'] }
    expect(await nicsOf(on)).toEqual(half)
    fails = (name) => name === 'remote:DOMAIN_ATTACH_DEVICE_FLAGS'
    expect((await failure(attach(on, 'extra'))).details).toContain(FAULT)
    expect(await nicsOf(on)).toEqual(half)
    // One that was in neither half leaves nothing, not even a note.
    const other = { macAddress: '52:54:00:aa:bb:02' }
    expect((await failure(attach(on, 'other', other))).details).toContain(FAULT)
    fails = () => false
    expect(await nicsOf(on)).toEqual(half)
    await attach(on, 'extra')
    expect(await nicsOf(on)).toEqual(both('nic0/virtio', 'extra/virtio'))
    for (const vmId of [on, off]) await agent.vms.delete(vmId, within())
  })

  test('what is wrong with a request is told, and nothing is left of it', async () => {
    const vmId = await create(true)
    const refusal = async (call: Promise<unknown>) => {
      const { code, details } = await failure(call)
      expect(details).not.toMatch(/already|exists|not found/)
      return code
    }
    expect(await refusal(detach(vmId, 'nothing'))).toBe(status.NOT_FOUND)
    expect(await refusal(ask(grpc.client, grpc.client.AttachNIC, { vmId }))).toBe(status.INVALID_ARGUMENT)
    expect(await refusal(attach(vmId, 'x', { macAddress: '01:00:00:00:00:01' }))).toBe(status.INVALID_ARGUMENT)
    expect(await refusal(attach(vmId, 'x', { network: 'nowhere' }))).toBe(status.FAILED_PRECONDITION)
    expect(await refusal(attach(vmId, 'x', { bridge: 'nobridge0' }))).toBe(status.FAILED_PRECONDITION)
    expect(await refusal(attach(vmId, 'nic0'))).toBe(status.ABORTED)
    await attach(vmId, 'one')
    expect(await refusal(attach(vmId, 'two'))).toBe(status.ABORTED)
    expect(await nicsOf(vmId)).toEqual(both('nic0/virtio', 'one/virtio'))
    const unknown = await failure(attach('11111111-2222-4333-8444-555555555555', 'x'))
    expect(unknown.details).toContain('VM not found')
    await agent.vms.delete(vmId, within())
  })
})
