import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'

interface Change {
  readonly pool: { readonly poolId: string; readonly health: number; readonly errorMessage: string }
  readonly eventType: number
}

const MOUNTED = 1
const UNMOUNTED = 2

let directory: string
let cp: StandInControlPlane
let agent: AgentProcess

const start = async () => {
  agent = await startAgent({
    directory,
    config: {
      hypervisor: { libvirt_uri: `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock` },
      control_plane: { address: cp.url, registration_enabled: true },
    },
  })
}
const changes = () =>
  cp.requests.filter(({ method }) => method === 'NotifyStorageChange').map(({ body }) => body as Change)
const told = (count: number) => until(() => Promise.resolve(changes()[count - 1]))
const init = async (poolId: string) => {
  const node = new NodeClient(agent.grpcAddress)
  const config = { local: { path: path.join(directory, poolId) } }
  await node
    .call('InitStoragePool', { poolId, type: 'STORAGE_POOL_TYPE_LOCAL_DIR', config }, 60_000)
    .finally(() => node.close())
}
const destroyByAdmin = async (poolId: string) => {
  const answer = await fetch(`${agent.httpUrl}/api/v1/storage/pools/${poolId}`, { method: 'DELETE' })
  expect(answer.status).toBe(204)
}

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-pools-'))
  await chmod(directory, 0o711)
  cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, stateSync: true })
})
afterEach(async () => {
  await agent.stop()
  await cp.close()
  await rm(directory, { recursive: true, force: true })
})

// Without libvirt nobody knows who uses a pool, and none is destroyed.
describe.skipIf(await requirePrerequisite('libvirt', missingLibvirt))('that a pool was destroyed', () => {
  test('is told once, whoever did it, also of the time before a kill of the agent when nobody listened', async () => {
    await start()
    // What is there by then is told with everything else, and not as a change.
    await until(() => Promise.resolve(cp.requests.some(({ method }) => method === 'SyncFullState')))
    await init('one')
    expect(await told(1)).toMatchObject({ pool: { poolId: 'one', health: 1 }, eventType: MOUNTED })
    await destroyByAdmin('one')
    expect(await told(2)).toMatchObject({ pool: { poolId: 'one', health: 4 }, eventType: UNMOUNTED })
    expect(changes()[1]?.pool.errorMessage).not.toBe('')

    await init('one')
    expect(await told(3)).toMatchObject({ pool: { poolId: 'one', health: 1 }, eventType: MOUNTED })
    const node = new NodeClient(agent.grpcAddress)
    await node.call('DestroyStoragePool', { poolId: 'one' }, 60_000).finally(() => node.close())
    expect(await told(4)).toMatchObject({ pool: { poolId: 'one', health: 4 }, eventType: UNMOUNTED })

    await init('two')
    expect(await told(5)).toMatchObject({ pool: { poolId: 'two' }, eventType: MOUNTED })
    // One is told after the other: when this one comes, the agent has the answer to the one before and has written it down.
    await init('three')
    expect(await told(6)).toMatchObject({ pool: { poolId: 'three' }, eventType: MOUNTED })
    await cp.pause()
    await destroyByAdmin('two')
    agent.kill('SIGKILL')
    await agent.exited
    await cp.resume()
    await start()
    await until(async () => changes().some(({ pool: { poolId, health } }) => poolId === 'two' && health === 4))
    const beat = await cp.waitForHeartbeat(AbortSignal.timeout(60_000))
    expect(beat.storagePools).toMatchObject([{ poolId: 'three' }])
    expect(changes().filter(({ pool }) => pool.poolId === 'two')).toMatchObject([
      { eventType: MOUNTED },
      { pool: { health: 4 }, eventType: UNMOUNTED },
    ])
    expect(cp.violations).toEqual([])
  })
})
