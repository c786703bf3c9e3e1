import { isIPv6 } from 'node:net'
import { KIB } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import type { GuestFacts, GuestUsage } from '../core/model.ts'
import type { GuestAgent, GuestFileSystem } from './guest-agent.ts'

const MAX_PROC_BYTES = 64 * KIB

/**
 * What a guest tells of itself; what its agent does not know, or is not allowed to say, is absent. `cpuUsagePercent` is the host's own number, of all vCPUs.
 * Errors: GUEST_AGENT_UNAVAILABLE, GUEST_AGENT_REFUSED when not even its version is to be had, VM_NOT_FOUND, LIBVIRT_*.
 */
export async function readGuestFacts(agent: GuestAgent, cpuUsagePercent: number, ctx: OpContext): Promise<GuestFacts> {
  const { version, commands } = await agent.info(ctx)
  const os = await ifTold(agent.osInfo(ctx))
  const hostname = await ifTold(agent.hostName(ctx))
  const nics = await ifTold(agent.addresses(ctx))
  const usage = await readUsage(agent, cpuUsagePercent, ctx)
  const version_ = os?.version ?? os?.['version-id']
  return {
    version,
    capabilities: commands,
    ...some('hostname', hostname),
    ...some('osName', os?.name ?? os?.['pretty-name']),
    ...some('osVersion', version_),
    ...some('kernelVersion', os?.['kernel-release']),
    ...some('architecture', os?.machine),
    ...some('ipAddresses', nics && reachableAddresses(nics)),
    ...some('usage', usage),
  }
}

// Linux only: other systems have no agent command for these numbers.
async function readUsage(agent: GuestAgent, cpuUsagePercent: number, ctx: OpContext): Promise<GuestUsage | undefined> {
  const proc = async (name: string) =>
    (await ifTold(agent.readFile(`/proc/${name}`, MAX_PROC_BYTES, ctx)))?.toString('latin1')
  const memory = parseMeminfo(await proc('meminfo'))
  if (memory === undefined) return undefined
  const load = parseLoadavg(await proc('loadavg'))
  const uptime = Number.parseFloat((await proc('uptime')) ?? '')
  if (load === undefined || !Number.isFinite(uptime)) return undefined
  const disks = ((await ifTold(agent.fileSystems(ctx))) ?? []).flatMap(diskUsage)
  return { cpuUsagePercent, ...memory, ...load, disks, uptimeSeconds: Math.max(0, Math.floor(uptime)) }
}

/** The numbers of /proc/meminfo in bytes; undefined when it is not one. */
export function parseMeminfo(
  text: string | undefined,
):
  | Pick<
      GuestUsage,
      'memoryTotalBytes' | 'memoryUsedBytes' | 'memoryAvailableBytes' | 'swapTotalBytes' | 'swapUsedBytes'
    >
  | undefined {
  const bytes = (key: string) => Number(new RegExp(`^${key}: +(\\d{1,12}) kB$`, 'm').exec(text ?? '')?.[1] ?? NaN) * KIB
  const memoryTotalBytes = bytes('MemTotal')
  const memoryAvailableBytes = bytes('MemAvailable')
  const swapTotalBytes = bytes('SwapTotal')
  const swapUsedBytes = swapTotalBytes - bytes('SwapFree')
  const memoryUsedBytes = memoryTotalBytes - memoryAvailableBytes
  const numbers = { memoryTotalBytes, memoryUsedBytes, memoryAvailableBytes, swapTotalBytes, swapUsedBytes }
  return Object.values(numbers).every((n) => n >= 0) ? numbers : undefined
}

/** The numbers of /proc/loadavg; its count of tasks has the threads in it. */
export function parseLoadavg(
  text: string | undefined,
): Pick<GuestUsage, 'loadAvg1' | 'loadAvg5' | 'loadAvg15' | 'processCount'> | undefined {
  const match = /^(\d+\.\d+) (\d+\.\d+) (\d+\.\d+) \d+\/(\d{1,9}) /.exec(text ?? '')
  if (match === null) return undefined
  const [loadAvg1, loadAvg5, loadAvg15, processCount] = match.slice(1).map(Number) as [number, number, number, number]
  return { loadAvg1, loadAvg5, loadAvg15, processCount }
}

function diskUsage(fs: GuestFileSystem): GuestUsage['disks'] {
  const { device, mountPoint, type, usedBytes, totalBytes } = fs
  if (usedBytes === undefined || totalBytes === undefined || totalBytes === 0 || usedBytes > totalBytes) return []
  return [{ mountPoint, device, filesystem: type, totalBytes, usedBytes, availableBytes: totalBytes - usedBytes }]
}

/** The addresses of a guest's interfaces that say something to anybody outside of it: without loopback and link-local ones. */
export function reachableAddresses(nics: readonly { readonly addresses: readonly string[] }[]): string[] {
  return nics.flatMap((nic) => nic.addresses).filter(isReachable)
}

function isReachable(address: string): boolean {
  if (isIPv6(address)) return !['::', '::1'].includes(address) && !/^fe[89ab]/i.test(address)
  return !/^(127\.|169\.254\.|0\.)/.test(address)
}

// One command that is disabled does not hide the others; an agent that goes silent on the way ends it all.
async function ifTold<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isAgentError(error, 'GUEST_AGENT_REFUSED')) return undefined
    throw error
  }
}

function some<K extends string, T>(key: K, value: T | undefined): Partial<Record<K, T>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, T>)
}
