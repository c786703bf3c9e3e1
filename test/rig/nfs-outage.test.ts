import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { percentile } from '../bench/measure.ts'
import type { PoolReport } from '../control-plane/schemas.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../control-plane/stand-in.ts'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { agentConfig, agentConfigGone } from './agent-config.ts'
import { BARE, latenciesOf, latencyCalls, slownessOf, startLatencyMeter, type LatencyMeter } from './latency.ts'
import { rigPools, type PoolBody } from './rig-pools.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'
import { writingGuest } from './writing-guest.ts'

const LEAVES_HEALTHY_MS = 25_000
const RECOVERS_MS = 30_000
const HEARTBEAT_MS = 30_000
const TOLERANCE_MS = 500
const API_P99_MS = 50
const LOOK_EVERY_MS = 15_000
/** Asking more often would be the load that is measured. */
const ASK_EVERY_MS = 500
/** A heap that breathes, not one that grows. */
const RSS_SLACK_MIB = 40
const HEALTHY = 1
const ERROR = 3

/** What is looked at all the time while the server is dead. */
interface Look {
  readonly helpers: number
  readonly stuck: number
  readonly processes: number
  readonly mountUnits: number
}

describe.skipIf(await requirePrerequisite('rig', missingRig))('an NFS server that is away for minutes', () => {
  const rig = useRig()
  const pools = rigPools(rig)
  const service = agentService(rig)
  const vmId = randomUUID()
  const cleanup = new AsyncDisposableStack()
  const server = rig.server('nfs')
  let controlPlane: StandInControlPlane
  let remote: PoolBody[]
  let local: PoolBody[]
  let meter: LatencyMeter

  const printed = async (mark: string) =>
    (await rig.exec(`cat /var/lib/limiquantix/vms/${vmId}/console.log`)).split(mark).length - 1
  const writes = () => printed('.')
  const guestPid = async () => (await rig.exec('cat /run/libvirt/qemu/outage-guest.pid')).trim()
  const mainPid = async () => (await service.properties('MainPID')).MainPID
  const rssMib = async () =>
    Number((await rig.exec(`awk '/^VmRSS/ {print $2}' /proc/${await mainPid()}/status`)).trim()) / 1024
  const look = async (): Promise<Look> => {
    const group = '/sys/fs/cgroup$(systemctl show --value --property=ControlGroup limiquantix-node)/cgroup.procs'
    const [helpers, stuck, processes, mountUnits] = (
      await rig.exec(
        `ps -o stat=,args= -p $(paste -sd, ${group}) >/run/look; grep -c "worker storage" /run/look; grep "worker storage" /run/look | grep -c "^D"; wc -l </run/look; systemctl list-units --all --no-legend "limiquantix-mount-*" | wc -l; true`,
      )
    )
      .trim()
      .split('\n')
      .map(Number)
    return { helpers, stuck, processes, mountUnits } as Look
  }
  const reported = (report: readonly PoolReport[], { poolId }: PoolBody) =>
    report.find((each) => each.poolId === poolId)
  /** Waits until every remote pool is so, with one question for all. */
  const allAre = async (wanted: RegExp, timeoutMs: number) => {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const all = await pools.lookAtAll()
      const mine = remote.flatMap(({ poolId }) => all.find((pool) => pool.poolId === poolId) ?? [])
      if (mine.length === remote.length && mine.every(({ health }) => wanted.test(health))) return mine
      if (performance.now() > deadline) throw new Error(`not all are ${wanted.source}: ${JSON.stringify(mine)}`)
      await pause(ASK_EVERY_MS)
    }
  }
  const beatTimes = (from: number) =>
    controlPlane.requests.filter(({ method, at }) => method === 'UpdateHeartbeat' && at >= from).map(({ at }) => at)

  beforeAll(async () => {
    controlPlane = await startStandInControlPlane({ heartbeatIntervalSecs: 30 })
    cleanup.defer(() => controlPlane.close())
    const exposed = await rig.expose(Number(new URL(controlPlane.url).port))
    cleanup.use(exposed)
    cleanup.defer(() => agentConfigGone(rig))
    await agentConfig(rig, { controlPlane: `http://${rig.serverAddress}:${exposed.port}`, domainType: 'qemu' })
    cleanup.defer(() => pools.destroyAll())
    remote = []
    for (const name of ['pool1', 'pool2', 'pool3', 'pool4']) remote.push(await pools.nfs(name))
    local = [await pools.local(), await pools.local()]
    const [home] = remote
    await rig.write(`${home?.mountPath}/writing.qcow2`, await writingGuest())
    await rig.node.call(
      'CreateVM',
      {
        vmId,
        name: 'outage-guest',
        spec: {
          cpuCores: 1,
          memoryMib: 64,
          disks: [
            { id: 'root', poolId: home?.poolId, backingFile: `${home?.mountPath}/writing.qcow2`, bootable: true },
          ],
        },
      },
      120_000,
    )
    cleanup.defer(async () => void (await rig.node.call('DeleteVM', { vmId }, 120_000)))
    await rig.node.call('StartVM', { vmId }, 120_000)
    await until(async () => (await writes()) > 3, 120_000)
    meter = await startLatencyMeter(rig, latencyCalls(local[0]?.poolId ?? ''))
    cleanup.defer(() => meter.end())
    // What a test that failed left comes first.
    cleanup.defer(async () => {
      await rig.heal()
      for (const { poolId } of remote) await pools.becomes(poolId, /^HEALTHY$/, 60_000)
    })
    await until(() => Promise.resolve(controlPlane.heartbeats.length > 0 && meter.samples.length > 200), 120_000)
  }, 400_000)
  afterAll(() => cleanup.disposeAsync(), 400_000)

  // Stopped: connections are refused. Frozen: they stay, and nothing ever answers; longer than a helper may hang before it is replaced.
  test.each([
    ['stopped', 180_000, () => server.stop(), () => server.start()],
    ['frozen', 90_000, () => server.freeze(), () => server.thaw()],
  ])(
    '%s: everything else goes on as before, and all is well by itself afterwards',
    async (_how, outageMs, fail, cure) => {
      const rssBefore = await rssMib()
      const guest = await guestPid()
      const errors = await printed('E')
      const before = await look()
      const beganAt = performance.now()
      const latencies = meter.lap()
      await fail()
      const failedAt = performance.now()

      const left = await allAre(/^(ERROR|UNMOUNTED|UNKNOWN|DEGRADED)$/, LEAVES_HEALTHY_MS)
      for (const pool of left) {
        expect(pool).toMatchObject({ health: 'ERROR', healthReason: 'SERVER_NOT_ANSWERING' })
        expect(pool.message).toMatch(/^NFS server 10\.99\.0\.1 does not answer \(for \d+ s\)$/)
      }
      const leftAfterMs = performance.now() - failedAt

      // Away as long as it is to be; what could pile up is counted meanwhile.
      const looks: Look[] = []
      while (performance.now() < failedAt + outageMs) {
        looks.push(await look())
        const all = await pools.lookAtAll()
        const healthOf = (wanted: readonly PoolBody[]) =>
          wanted.map(({ poolId }) => all.find((pool) => pool.poolId === poolId)?.health)
        expect(healthOf(remote)).toEqual(remote.map(() => 'ERROR'))
        expect(healthOf(local)).toEqual(local.map(() => 'HEALTHY'))
        await pause(LOOK_EVERY_MS)
      }
      const beat = controlPlane.heartbeats.at(-1)
      const deadFor = (await pools.look(remote[0]?.poolId ?? '')).message
      const writesInOutage = await writes()
      await cure()
      const curedAt = performance.now()
      await allAre(/^HEALTHY$/, RECOVERS_MS)
      const backAfterMs = performance.now() - curedAt

      // The dead ones say since when, here and in the heartbeat, and the others are not touched by it.
      const seconds = Number(/\(for (\d+) s\)$/.exec(deadFor)?.[1])
      expect(seconds).toBeGreaterThan((outageMs - LEAVES_HEALTHY_MS) / 1000 - 10)
      for (const pool of remote) {
        expect(reported(beat?.storagePools ?? [], pool)).toMatchObject({
          health: ERROR,
          errorMessage: expect.stringMatching(/does not answer \(for \d+ s\)/) as string,
        })
      }
      for (const pool of local) expect(reported(beat?.storagePools ?? [], pool)).toMatchObject({ health: HEALTHY })
      expect(controlPlane.violations).toEqual([])

      // Heartbeats: none is missing, and all fit one schedule.
      const arrivals = beatTimes(beganAt)
      const places = arrivals.map((at) => (at - (arrivals[0] ?? 0)) % HEARTBEAT_MS)
      const offsets = places.map((place) => (place > HEARTBEAT_MS / 2 ? place - HEARTBEAT_MS : place))
      const spreadMs = Math.max(...offsets) - Math.min(...offsets)
      expect(arrivals.length).toBeGreaterThanOrEqual(Math.floor(outageMs / HEARTBEAT_MS))
      expect(spreadMs / 2).toBeLessThan(TOLERANCE_MS)

      // The healthy pools' API. The limit is one for a real host; how much slower the emulated one is at this time, a bare gRPC server tells.
      const failures = latencies.filter(({ error }) => error !== '')
      expect(failures).toEqual([])
      const slowness = await slownessOf(latencies)
      const figures = latencyCalls('').map(({ name }) => {
        const all = latenciesOf(latencies, name)
        return { name, calls: all.length, p50: percentile(all, 50), p99: percentile(all, 99) }
      })
      process.stdout.write(
        `${_how} for ${outageMs / 1000} s: left HEALTHY after ${leftAfterMs.toFixed(0)} ms, back after ${backAfterMs.toFixed(0)} ms, ${arrivals.length} heartbeats within ±${(spreadMs / 2).toFixed(0)} ms; the emulated host takes ${slowness.toFixed(1)} times as long as this one\n${figures
          .map(
            ({ name, calls, p50, p99 }) =>
              `  ${name.padEnd(22)} ${calls} calls, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`,
          )
          .join('\n')}\n`,
      )
      for (const { name, p99 } of figures.filter(({ name }) => name !== BARE)) {
        expect([name, p99 / slowness]).toEqual([name, expect.toSatisfy((ms: number) => ms < API_P99_MS)])
      }

      // One helper for each dead pool, one for those on local disks, one that looks at images; nothing piles up, and nothing of it is left.
      for (const { helpers, stuck, processes, mountUnits } of looks) {
        expect(helpers).toBeLessThanOrEqual(remote.length + 2)
        expect(stuck).toBeLessThanOrEqual(remote.length)
        expect(processes).toBeLessThanOrEqual(before.processes + 2)
        expect(mountUnits).toBe(0)
      }
      await until(async () => (await look()).processes <= before.processes).catch(async (cause: unknown) => {
        throw new Error(`more processes than before:\n${await rig.exec('cat /run/look')}`, { cause })
      })
      expect((await rssMib()) - rssBefore).toBeLessThan(RSS_SLACK_MIB)

      // The guest waited in the kernel and goes on writing, without an error.
      await until(async () => (await writes()) > writesInOutage + 3, 120_000).catch(async (cause: unknown) => {
        const state = await rig.exec(
          `virsh -q domstate --reason outage-guest; for t in /proc/${guest}/task/*; do echo $(cat $t/comm $t/wchan); done; tail -c 40 /var/lib/limiquantix/vms/${vmId}/console.log`,
        )
        throw new Error(`the guest does not go on (${writesInOutage} writes): ${state}`, { cause })
      })
      expect(await printed('E')).toBe(errors)
      expect(await guestPid()).toBe(guest)
      expect((await rig.exec('virsh -q domstate outage-guest')).trim()).toBe('running')
    },
    480_000,
  )
})
