import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { expect } from 'vitest'
import { until } from '../support/until.ts'
import type { PairHost, PairRig } from './pair-rig.ts'
import { quote, type Rig } from './rig.ts'
import { writingGuest } from './writing-guest.ts'

/** For everything on two emulated hosts: a guest starts in half a minute on an idle machine. */
export const PATIENCE_MS = 10 * 60_000
const STATE = '/var/lib/limiquantix'
const IMAGE = `${STATE}/cloud-images/rig-writing.qcow2`
/** As much as a copy at one MiB per second is still under way with when somebody wants to end it. */
const IMAGE_MIB = 24
/** Where the guest has its counter. */
const COUNTER = '0x8000'

/** A job of the agent as its API tells it. */
export interface Job {
  readonly state: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
  readonly phase: string
  readonly progressPercent: number
  readonly bytesDone: number
  readonly error: unknown
  readonly details: Readonly<Record<string, unknown>>
}

/** What a VM is, wherever it runs. */
export interface Identity {
  readonly name: string
  readonly managed: boolean
  readonly autostart: boolean
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly labels: Readonly<Record<string, string>>
  readonly disks: readonly unknown[]
}

export interface MigrateOptions {
  readonly copyStorage?: boolean
  readonly bandwidthMibps?: number
}

/** The image that VMs are made of, at the same place of both hosts. */
export async function placeImages({ a, b }: PairRig): Promise<void> {
  const image = await writingGuest()
  const rest = `qemu-img resize -q ${IMAGE} ${IMAGE_MIB}M && qemu-io -f qcow2 -c 'write -q -P 0x5a 1M ${IMAGE_MIB - 1}M' ${IMAGE}`
  await Promise.all([a, b].map((rig) => rig.write(IMAGE, image).then(() => rig.exec(rest))))
}

/** The same pool on both hosts; resolves to its id. */
export async function poolOnBoth({ a, b }: PairRig, body: object): Promise<string> {
  const poolId = randomUUID()
  for (const rig of [a, b]) {
    const answer = await rig.http('POST', '/api/v1/storage/pools', { poolId, ...body })
    expect(answer).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
  }
  return poolId
}

/** A VM with a disk from the image and whatever else is asked for, which was started. */
export async function startVm(rig: Rig, poolId: string, more: object = {}): Promise<string> {
  const vmId = randomUUID()
  const disks = [{ id: 'root', poolId, backingFile: IMAGE, sizeGib: 1, bootable: true }]
  const spec = { vmId, name: `rig-${vmId.slice(0, 8)}`, cpuCores: 1, memoryMib: 64, disks, nics: [], ...more }
  expect(await rig.http('POST', '/api/v1/vms', spec)).toMatchObject({ status: 201 })
  expect(await rig.http('POST', `/api/v1/vms/${vmId}/start`)).toMatchObject({ status: 204 })
  return vmId
}

/** The number that the guest counts up to twice a second in its memory (and writes to its disk), by QEMU's word; a guest that starts anew begins at 0. */
async function counted(rig: Rig, vmId: string): Promise<number> {
  const text = await rig.exec(`virsh -q qemu-monitor-command ${vmId} --hmp 'xp /1hx ${COUNTER}'`)
  return Number(/: (0x[0-9a-f]+)/.exec(text)?.[1])
}

/** Waits until the guest has counted beyond a number, and has written no sector in vain; resolves to where it is. */
export async function countsBeyond(rig: Rig, vmId: string, number: number): Promise<number> {
  const now = await until(async () => {
    const found = await counted(rig, vmId)
    return found > number && found
  }, PATIENCE_MS)
  expect(await consoleLog(rig, vmId)).not.toContain('E')
  return now
}

/** What the guest wrote to its serial port, on this host and on those where it was before. */
async function consoleLog(rig: Rig, vmId: string): Promise<string> {
  return (await rig.tryExec(`cat ${STATE}/vms/${vmId}/console.log`)).stdout
}

/** Digest of the VM's cloud-init seed; empty when it has none. */
export async function seedDigest(rig: Rig, vmId: string): Promise<string> {
  return (await rig.tryExec(`sha256sum <${STATE}/vms/${vmId}/cloud-init.iso`)).stdout
}

/** State of the VM by the agent, or `absent`. */
export async function stateOn(rig: Rig, vmId: string): Promise<string> {
  const { status, body } = await rig.http<{ state: string }>('GET', `/api/v1/vms/${vmId}`)
  return status === 404 ? 'absent' : body.state
}

export async function identity(rig: Rig, vmId: string): Promise<Identity> {
  const { body } = await rig.http<Identity>('GET', `/api/v1/vms/${vmId}`)
  const { name, managed, autostart, cpuCount, memoryBytes, labels, disks } = body
  return { name, managed, autostart, cpuCount, memoryBytes, labels, disks }
}

/** Everything on a host that is of a VM: its definition in libvirt, its directory, its QEMU, and files named after it in the directory of a pool. */
export async function traces(rig: Rig, vmId: string, poolDirectory = '/nowhere'): Promise<string[]> {
  const name = `rig-${vmId.slice(0, 8)}`
  const look = [
    `virsh -q list --all --name | grep -F ${name}`,
    `ls -d ${STATE}/vms/${vmId} 2>/dev/null`,
    `pgrep -f 'guest=${name}[,]'`,
    `find ${quote(poolDirectory)} -name '*${name}*' 2>/dev/null`,
  ]
  const { stdout } = await rig.tryExec(look.join('; '))
  return stdout.split('\n').filter((line) => line !== '')
}

// As a control plane does.
async function announce(from: PairHost, to: PairHost, vmId: string): Promise<void> {
  const node = to.connect()
  try {
    await node.call('ReceiveMigration', await node.call('PrepareMigration', { vmId, sourceNodeUri: from.address }))
  } finally {
    node.close()
  }
}

/** Announces a VM at `to` and begins its migration at `from`; resolves to the id of the job. */
export async function migrate(
  from: PairHost,
  to: PairHost,
  vmId: string,
  options: MigrateOptions = {},
): Promise<string> {
  await announce(from, to, vmId)
  const target = `http://${to.address}:8080`
  const answer = await from.http<{ jobId: string }>('POST', `/api/v1/vms/${vmId}/migrate`, { target, ...options })
  expect(answer).toMatchObject({ status: 202 })
  return answer.body.jobId
}

export async function jobOn(rig: Rig, jobId: string): Promise<Job> {
  return (await rig.http<Job>('GET', `/api/v1/jobs/${jobId}`)).body
}

/** Waits for the end of a job, also while the agent is away. */
export async function ended(rig: Rig, jobId: string): Promise<Job> {
  return until(async () => {
    const job = await jobOn(rig, jobId).catch(() => undefined)
    return job !== undefined && !['pending', 'running'].includes(job.state) && job
  }, PATIENCE_MS)
}

/** Follows a job to its end; every word of its progress, the last one is how it ended. */
export async function followed({ httpSocket }: PairHost, jobId: string): Promise<readonly Job[]> {
  const call = request({
    socketPath: httpSocket,
    path: `/api/v1/jobs/${jobId}/events`,
    signal: AbortSignal.timeout(PATIENCE_MS),
  })
  call.end()
  const [answer] = await once(call, 'response')
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) text += chunk
  return [...text.matchAll(/^data: ?(.*)$/gm)].map(([, json = '']) => JSON.parse(json) as Job)
}
