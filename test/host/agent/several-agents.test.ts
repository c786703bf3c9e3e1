import { mkdtemp, chmod, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FleetNode, FleetPool } from '../../control-plane/fleet.ts'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import type { AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { GRPC_PORT, loopbackAddress, startLoopbackAgent } from './loopback-agents.ts'

let directory: string
let cp: StandInControlPlane
const running: AgentProcess[] = []

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-fleet-'))
  await chmod(directory, 0o711)
  // A pool that is connected again goes to the newest connection first.
  cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, nodeGrpcPort: GRPC_PORT, random: () => 0.99 })
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((agent) => agent.stop()))
  await cp.close()
  await rm(directory, { recursive: true, force: true })
})

const start = async (hostname: string, address: string): Promise<AgentProcess> => {
  const agent = await startLoopbackAgent({ address, hostname, controlPlane: cp.url, directory })
  running.push(agent)
  return agent
}
const nodeOf = (hostname: string): Promise<FleetNode> =>
  until(() => Promise.resolve([...cp.fleet.nodes.values()].find((node) => node.hostname === hostname)))
/** A pool that is assigned to one node; the control plane of today sends it when the agent asks for it. */
const assignPool = (node: FleetNode): FleetPool =>
  cp.fleet.addPool({
    id: `pool-${node.hostname}`,
    name: node.hostname,
    kind: 'LOCAL_DIR',
    config: { local: { path: path.join(directory, `data-${node.hostname}`) } },
    assignedNodeIds: [node.id],
  })
const ready = (pool: FleetPool) => until(() => Promise.resolve(pool.phase === 'READY'))
const beats = (nodeId: string) => cp.heartbeats.filter((beat) => beat.nodeId === nodeId)
const nextBeat = async (nodeId: string) => {
  const seen = beats(nodeId).length
  return until(() => Promise.resolve(beats(nodeId)[seen]))
}

describe('several agents and one control plane', { timeout: 180_000 }, () => {
  it('keep their pools, pushes and heartbeats apart', async () => {
    const hosts = [2, 3, 4].map((n) => ({ hostname: `hv-${n}`, address: loopbackAddress(n) }))
    const agents = await Promise.all(hosts.map(({ hostname, address }) => start(hostname, address)))
    const nodes = await Promise.all(hosts.map(({ hostname }) => nodeOf(hostname)))
    expect(nodes.map(({ managementIp }) => managementIp)).toEqual(hosts.map(({ address }) => address))
    const pools = nodes.map(assignPool)
    await Promise.all(pools.map(ready))

    for (const [n, node] of nodes.entries()) {
      const own = pools[n]?.id ?? ''
      expect([...(pools[n]?.hosts.keys() ?? [])]).toEqual([node.id])
      expect((await nextBeat(node.id)).storagePools.map(({ poolId }) => poolId)).toEqual([own])
      const client = new NodeClient(`${node.managementIp}:${GRPC_PORT}`)
      const { pools: known } = await client.call<{ pools: { poolId: string }[] }>('ListStoragePools')
      expect(known.map(({ poolId }) => poolId)).toEqual([own])
      const other = pools[(n + 1) % 3]?.id
      await expect(client.call('GetStoragePoolInfo', { poolId: other })).rejects.toThrow(/not found/)
      client.close()
    }

    // New connections: everything is sent again, to the one it belongs to.
    const from = cp.traffic.exchanges.length
    cp.connections?.closeAll()
    await Promise.all(nodes.map(({ id }) => nextBeat(id)))
    const pushes = () =>
      cp.traffic.exchanges
        .slice(from)
        .filter(({ call }) => call === 'InitStoragePool')
        .map(({ agent, request, outcome }) => [agent, (request as { poolId: string }).poolId, outcome])
    await until(() => Promise.resolve(pushes().length >= 3))
    expect(pushes().sort()).toEqual(
      nodes.map((node, n) => [`${node.managementIp}:${GRPC_PORT}`, pools[n]?.id, 'ok']).sort(),
    )

    // One dies: the others do not notice.
    agents[1]?.kill('SIGKILL')
    await agents[1]?.exited
    await Promise.all([nextBeat(nodes[0]?.id ?? ''), nextBeat(nodes[2]?.id ?? '')])
    expect(pools.map(({ phase }) => phase)).toEqual(['READY', 'READY', 'READY'])
    await start(hosts[1]?.hostname ?? '', hosts[1]?.address ?? '')
    const back = await nextBeat(nodes[1]?.id ?? '')
    expect(back.storagePools).toMatchObject([{ poolId: pools[1]?.id, health: 1 }])
    expect(cp.fleet.nodes.size).toBe(3)
    expect(cp.violations).toEqual([])
  })

  it('that have a pool together each get it, though the control plane asks only the first one for its files', async () => {
    await start('hv-2', loopbackAddress(2))
    const first = await nodeOf('hv-2')
    await start('hv-3', loopbackAddress(3))
    const second = await nodeOf('hv-3')
    const config = { local: { path: path.join(directory, 'data') } }
    const assignedNodeIds = [first.id, second.id]
    const pool = cp.fleet.addPool({ id: 'pool-both', name: 'both', kind: 'LOCAL_DIR', config, assignedNodeIds })
    const healthOf = ({ id }: FleetNode) => pool.hosts.get(id)?.health
    await until(() => Promise.resolve([first, second].every((node) => healthOf(node) === 'HEALTHY')), 90_000)
    expect(pool.phase).toBe('READY')
    const inits = cp.traffic.exchanges.filter(({ call }) => call === 'InitStoragePool').map(({ agent }) => agent)
    expect(new Set(inits)).toEqual(new Set([first, second].map(({ managementIp }) => `${managementIp}:${GRPC_PORT}`)))
    expect(cp.requests.some(({ method }) => method === 'ReconnectPool')).toBe(true)
    expect(cp.violations).toEqual([])
  })

  it('with one host name share a record, go on serving both, and one says so in its log', async () => {
    const [a, b] = [loopbackAddress(2), loopbackAddress(3)]
    const first = await start('hv-twin', a)
    const node = await nodeOf('hv-twin')
    const second = await start('hv-twin', b)
    await until(() => Promise.resolve(node.managementIp === b))
    expect(cp.fleet.nodes.size).toBe(1)
    for (const agent of [first, second]) {
      const client = new NodeClient(agent.grpcAddress)
      await client.call('HealthCheck')
      client.close()
    }
    // The one whose record was taken over finds its place taken; neither registers again for that, which would only take it back.
    const said = (agent: AgentProcess) =>
      agent.log.find(({ msg }) => String(msg).includes('another host is registered under the name of this one'))
    expect(await until(() => Promise.resolve(said(first)), 90_000)).toMatchObject({ hostname: 'hv-twin', other: b })
    expect(said(second)).toBeUndefined()
    expect(cp.requests.filter(({ method }) => method === 'RegisterNode')).toHaveLength(2)
    const seen = cp.heartbeats.length
    await until(() => Promise.resolve(cp.heartbeats.length >= seen + 4))
    expect(cp.violations).toEqual([])
  })
})
