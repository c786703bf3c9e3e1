import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { NetworkPortSpec } from '../../../src/core/model.ts'
import { NetworkPorts } from '../../../src/network/network-ports.ts'
import { OpenVswitch } from '../../../src/network/open-vswitch.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { createNetworkPortService } from '../../../src/services/network-port-service.ts'
import { until } from '../../support/until.ts'
import {
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmRequest,
  within,
  type AgentParts,
} from '../domains/agent-fixture.ts'
import { makeBootImage } from '../domains/boot-sector.ts'
import { ask, failure, openGrpc } from '../domains/grpc-agent.ts'
import { missingCommand, missingLibvirt, requirePrerequisite } from '../require.ts'
import { startOpenVswitch, vsctl, type TestSwitch } from './open-vswitch.ts'

const noLibvirt = await requirePrerequisite('libvirt', missingLibvirt)
const programs = missingCommand('ovs-vsctl', 'ovsdb-server', 'ovs-vswitchd', 'ovsdb-tool')
const noSwitch = await requirePrerequisite('ovs', programs)
const bridge = `lqxo${process.pid}`
const MAC = '52:54:00:aa:bb:0c'
const PORT = 'port-1'

describe.skipIf(noLibvirt !== undefined || noSwitch !== undefined)('ports of Open vSwitch', () => {
  let ovs: TestSwitch
  let agent: AgentParts
  let ports: NetworkPorts
  let grpc: Awaited<ReturnType<typeof openGrpc>>
  let vmId: string

  const openPorts = async () => {
    const store = openStateStore(path.join(agent.base, 'state/store'), silentLogger)
    ports = new NetworkPorts({
      ovs: new OpenVswitch(),
      store: store.collection<NetworkPortSpec>('network-ports'),
      vms: agent.inventory,
      log: silentLogger,
    })
    await ports.load()
    ports.start()
    grpc = await openGrpc({ networkPorts: createNetworkPortService(ports) })
  }
  const closePorts = () => {
    grpc.close()
    ports.stop()
  }
  const configure = (change: object = {}) =>
    ask(grpc.client, grpc.client.ConfigureNetworkPort, {
      portId: PORT,
      vmId,
      networkId: 'blue',
      macAddress: MAC.toUpperCase(),
      ipAddresses: ['192.0.2.7'],
      ovnPortName: 'lsp "one"',
      qos: { ingressRateKbps: 4000, egressRateKbps: 2000, egressBurstKb: 200 },
      ...change,
    })
  const get = () => ask(grpc.client, grpc.client.GetNetworkPortStatus, { portId: PORT })
  const remove = () => ask(grpc.client, grpc.client.DeleteNetworkPort, { portId: PORT, vmId })
  const active = () => until(async () => ((await get()).phase === 3 ? get() : undefined))
  const shapes = () => vsctl('--bare', '--columns=type,other_config', 'list', 'QoS')
  const limitsOf = async (name: string) => ({
    police: await vsctl('get', 'Interface', name, 'ingress_policing_rate'),
    burst: await vsctl('get', 'Interface', name, 'ingress_policing_burst'),
    shape: await shapes(),
  })
  const shaped = (kilobits: number) => until(async () => (await shapes()) === `linux-htb\nmax-rate=${kilobits}000`)
  const nic = (network: string) => ({ id: 'nic0', macAddress: MAC, network, bridge: '', model: 'virtio' as const })

  beforeAll(async () => {
    ovs = await startOpenVswitch()
    await vsctl('add-br', bridge, '--', 'set', 'Bridge', bridge, 'datapath_type=netdev')
    // As ovs-ctl writes at each start.
    await vsctl('set', 'Open_vSwitch', '.', 'ovs_version=3.1.0')
    await vsctl('set', 'Open_vSwitch', '.', `external_ids:ovn-bridge=${bridge}`, 'external_ids:ovn-encap-type=geneve')
    const networks = { default: 'user', blue: `ovs:${bridge}:120`, gone: 'ovs:gone' }
    agent = await openAgent(await makeBase(), inject('libvirtDir') ?? '', { networks })
    await makeBootImage(path.join(agent.base, 'images/boot.qcow2'), 'ignores')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
    await vsctl('--if-exists', 'del-br', bridge)
    await ovs.close()
  })
  beforeEach(async () => {
    await openPorts()
    const disks = [newDisk({ backingFile: path.join(agent.base, 'images/boot.qcow2') })]
    const request = vmRequest({}, { disks, nics: [nic('blue')] })
    await agent.vms.create(request, within())
    vmId = request.vmId
  })
  afterEach(async () => {
    await agent.vms.delete(vmId, within())
    await remove()
    closePorts()
    expect(await vsctl('--bare', '--columns=_uuid', 'list', 'QoS')).toBe('')
    expect(await vsctl('--bare', '--columns=_uuid', 'list', 'Queue')).toBe('')
  })

  test('tells what there is of Open vSwitch and OVN', async () => {
    expect(await ask(grpc.client, grpc.client.GetOVSStatus, {})).toMatchObject({
      available: true,
      ovsVersion: '3.1.0',
      ovnControllerConnected: false,
      integrationBridge: bridge,
      encapType: 'geneve',
    })
  })

  test('a port waits for its VM, has its id and limits while that runs, and none of them afterwards', async () => {
    const waiting = await configure()
    expect(waiting).toMatchObject({ phase: 1, ovsPortName: '', macAddress: MAC, ipAddresses: ['192.0.2.7'] })
    expect(waiting.interfaceXml).toContain(`<source bridge="${bridge}"/>`)
    expect(waiting.interfaceXml).toContain('<virtualport type="openvswitch"/>')
    await agent.vms.start(vmId, within())
    const { ovsPortName: name } = await active()
    await shaped(4000)
    expect(await limitsOf(name)).toMatchObject({ police: '2000', burst: '200' })
    expect(await vsctl('get', 'Interface', name, 'external_ids:iface-id')).toBe(JSON.stringify('lsp "one"'))
    expect(await vsctl('get', 'Port', name, 'tag')).toBe('120')
    expect((await ask(grpc.client, grpc.client.ListNetworkPorts, {})).ports).toMatchObject([{ portId: PORT, phase: 3 }])

    await configure({ ovnPortName: '', qos: { ingressRateKbps: 8000 } })
    expect(await limitsOf(name)).toEqual({ police: '0', burst: '0', shape: 'linux-htb\nmax-rate=8000000' })
    expect(await vsctl('get', 'Interface', name, 'external_ids:iface-id')).toBe(PORT)

    await agent.vms.forceStop(vmId, within())
    await until(async () => (await get()).phase === 1)
    await until(async () => (await shapes()) === '')
    await agent.vms.start(vmId, within())
    await active()
    await shaped(8000)

    await remove()
    expect(await shapes()).toBe('')
    expect((await failure(get())).code).toBe(status.NOT_FOUND)
    await remove()
  })

  test('a VM that was started while the agent was away has its limits when it is back', async () => {
    await configure()
    closePorts()
    await agent.vms.start(vmId, within())
    await openPorts()
    await active()
    await shaped(4000)
  })

  test('a port that is moved to another VM takes its limits from the first', async () => {
    await agent.vms.start(vmId, within())
    await configure()
    const { ovsPortName: name } = await active()
    const other = '0f5d0a52-3d39-4d3c-9d3d-0d7c1f6a2b10'
    expect(await configure({ vmId: other })).toMatchObject({ phase: 1, vmId: other })
    expect(await limitsOf(name)).toEqual({ police: '0', burst: '0', shape: '' })
    const { code, details } = await failure(remove())
    expect([code, details]).toEqual([status.ABORTED, expect.stringContaining(other)])
    await ask(grpc.client, grpc.client.DeleteNetworkPort, { portId: PORT })
  })

  test.each([
    ['a port of the NIC that another port has', { portId: 'port-2' }, status.ABORTED, PORT],
    ['security groups without OVN', { securityGroupIds: ['sg-1'] }, status.FAILED_PRECONDITION, 'OVN'],
    ['port security without OVN', { portSecurityEnabled: true }, status.FAILED_PRECONDITION, 'OVN'],
    ['a binding of another kind', { bindingType: 1 }, status.INVALID_ARGUMENT, 'binding_type'],
    ['no MAC address', { macAddress: '' }, status.INVALID_ARGUMENT, 'mac_address'],
    ['an id that is a path', { portId: '../x' }, status.INVALID_ARGUMENT, 'port_id'],
  ])('%s is refused', async (_name, change, code, words) => {
    await configure()
    const error = await failure(configure(change))
    expect([error.code, error.details]).toEqual([code, expect.stringContaining(words)])
    expect((await ask(grpc.client, grpc.client.ListNetworkPorts, {})).ports).toHaveLength(1)
  })

  test('two ports that claim one NIC at the same time: one has it', async () => {
    const outcomes = await Promise.allSettled([configure(), configure({ portId: 'port-2' })])
    expect(outcomes.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected'])
    const { ports: left } = await ask(grpc.client, grpc.client.ListNetworkPorts, {})
    expect(left).toHaveLength(1)
    await ask(grpc.client, grpc.client.DeleteNetworkPort, { portId: String(left?.[0]?.portId), vmId })
  })

  test('a NIC on a bridge that Open vSwitch has not is refused', async () => {
    await expect(agent.vms.create(vmRequest({}, { nics: [nic('gone')] }), within())).rejects.toMatchObject({
      reason: 'NETWORK_UNKNOWN',
      message: expect.stringContaining('no bridge gone'),
    })
  })

  test('a database that is gone is told at once; its return needs nobody', async () => {
    await configure()
    await ovs.killDatabase()
    try {
      expect(await ask(grpc.client, grpc.client.GetOVSStatus, {})).toMatchObject({ available: false })
      for (const call of [get, configure, remove]) {
        const { code, details } = await failure(call())
        expect([code, details]).toEqual([status.UNAVAILABLE, expect.stringContaining('Open vSwitch does not answer')])
      }
    } finally {
      await ovs.startDatabase()
    }
    expect(await get()).toMatchObject({ phase: 1 })
  })
})
