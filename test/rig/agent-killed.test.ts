import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { agentConfig, agentConfigGone } from './agent-config.ts'
import { rigPools, type PoolBody } from './rig-pools.ts'
import { secondServer, type SecondServer } from './second-server.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'

const SERVES_MS = 5_000
/** From exec to READY on an emulated host that has nothing else to do. */
const EMULATED_START_MS = 11_000
/** Nobody answers here, not even with a refusal. */
const CONTROL_PLANE = 'http://10.99.0.78:8080'
const PROGRAM = '/opt/limiquantix-node/bin/limiquantix-node'

describe.skipIf(await requirePrerequisite('rig', missingRig))('an agent that is killed', () => {
  const rig = useRig()
  const pools = rigPools(rig)
  const service = agentService(rig)
  const cleanup = new AsyncDisposableStack()
  let second: SecondServer
  let others: PoolBody[]
  let near: PoolBody[]
  let allServeAfterMs: number
  let slowness: number
  let paceMs: number

  const nfsMounts = async () => (await rig.exec("grep -E ' - nfs4? ' /proc/self/mountinfo || true")).trim()

  /** How long the host takes now for something that no pool has a part in: the program's start, three times over. */
  const paceOfHost = async () => {
    const now = "cut -d' ' -f1 /proc/uptime"
    const times = await rig.exec(`${now}; for n in 1 2 3; do ${PROGRAM} version >/dev/null; done; ${now}`)
    const [began = 0, ended = 0] = times.trim().split('\n').map(Number)
    return (ended - began) * 1000
  }

  /** Kills the agent; resolves when `wanted` all serve, with the time since systemd started the process, and since it said that it is ready. */
  const killAndWait = async (wanted: readonly PoolBody[]) => {
    const { MainPID: former } = await service.properties('MainPID')
    await rig.exec(`kill -KILL ${former}`)
    await until(async () => {
      const known = await pools.lookAtAll().catch(() => [])
      const healthy = wanted.every(({ poolId }) =>
        known.some((pool) => pool.poolId === poolId && pool.health === 'HEALTHY'),
      )
      const listed = async () => Promise.all(wanted.map(({ poolId }) => pools.filesStatus(poolId)))
      return healthy && (await listed()).every((status) => status === 200)
    }, 120_000)
    const servedAt = performance.now()
    const uptime = (await rig.exec('cut -d" " -f1 /proc/uptime')).trim()
    const servedMs = Number(uptime) * 1000 - (performance.now() - servedAt)
    await service.restarted(former)
    const started = await service.properties('ExecMainStartTimestampMonotonic', 'ActiveEnterTimestampMonotonic')
    const since = (at: string) => Math.round(servedMs - Number(at) / 1000)
    return {
      sinceStartMs: since(started.ExecMainStartTimestampMonotonic),
      sinceReadyMs: since(started.ActiveEnterTimestampMonotonic),
    }
  }

  beforeAll(async () => {
    cleanup.defer(() => agentConfigGone(rig))
    await agentConfig(rig, { controlPlane: CONTROL_PLANE })
    second = cleanup.use(await secondServer(rig))
    cleanup.defer(() => pools.destroyAll())
    near = [await pools.nfs('pool1'), await pools.nfs('pool2'), await pools.local(), await pools.local()]
    others = [await pools.nfs('pool3', second.options), await pools.nfs('pool4', second.options)]
    cleanup.defer(() => second.pass())
  }, 300_000)
  afterAll(() => cleanup.disposeAsync(), 300_000)

  test('serves all six pools again, without its control plane', async () => {
    const mounts = await nfsMounts()
    const { sinceStartMs, sinceReadyMs } = await killAndWait([...near, ...others])
    process.stdout.write(`six pools serve ${sinceStartMs} ms after the start, ${sinceReadyMs} ms after READY\n`)
    // Under emulation the start of the program alone takes longer than all pools may; what the pools add is the agent's. How slow the host is at this time, the program's start tells.
    slowness = Math.max(1, (sinceStartMs - sinceReadyMs) / EMULATED_START_MS)
    expect(sinceReadyMs / slowness).toBeLessThan(SERVES_MS)
    expect(await nfsMounts()).toBe(mounts)
    allServeAfterMs = sinceStartMs
    paceMs = await paceOfHost()
  })

  test('with one of two servers cut off, serves the pools of the other and its own as soon, and says what is wrong with the rest', async () => {
    await second.drop('second')
    const { sinceStartMs, sinceReadyMs } = await killAndWait(near)
    process.stdout.write(`four pools serve ${sinceStartMs} ms after the start, ${sinceReadyMs} ms after READY\n`)
    // The measure is the same host with nothing wrong: pools that do not answer delay no other. What else runs on this machine may make it slower than it was.
    const slower = Math.max(1, (await paceOfHost()) / paceMs)
    expect((sinceStartMs - allServeAfterMs * slower) / (slowness * slower)).toBeLessThan(SERVES_MS)
    for (const { poolId } of others) {
      expect(await pools.becomes(poolId, /ERROR/, 25_000)).toMatchObject({
        healthReason: 'SERVER_NOT_ANSWERING',
        message: expect.stringContaining(`NFS server ${second.options['server']} does not answer`) as string,
      })
    }
    await second.pass()
    // The kernel's client tries again in pauses that grow with the time that the server was away; what follows is the agent's.
    for (const { mountPath } of others) await rig.exec(`stat -f ${mountPath}`, { timeoutMs: 120_000 })
    for (const { poolId } of others) await pools.becomes(poolId, /^HEALTHY$/, 30_000)
  }, 300_000)
})
