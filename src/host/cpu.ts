import path from 'node:path'
import type { CpuFacts } from '../core/model.ts'
import { listNames, readAttribute, readNumber } from '../platform/sysfs.ts'

/** One online hardware thread: equal ids mean the same package, or the same core. */
export interface CpuThread {
  readonly packageId: string
  readonly coreId: string
}

/** What /proc/cpuinfo tells on any architecture. */
export interface CpuInfo {
  readonly model: string
  readonly vendor: string
  readonly features: readonly string[]
  /** Highest current frequency; 0 = not told. */
  readonly frequencyMhz: number
  readonly threads: readonly CpuThread[]
}

// arm64 has numbers instead of names (MIDR_EL1); those of the servers in use.
const ARM_VENDORS: Readonly<Record<string, string>> = {
  '0x41': 'ARM',
  '0x43': 'Cavium',
  '0x46': 'Fujitsu',
  '0x48': 'HiSilicon',
  '0x50': 'Applied Micro',
  '0x51': 'Qualcomm',
  '0x61': 'Apple',
  '0xc0': 'Ampere',
}
const ARM_MODELS: Readonly<Record<string, string>> = {
  '0xd08': 'Cortex-A72',
  '0xd0b': 'Cortex-A76',
  '0xd0c': 'Neoverse-N1',
  '0xd40': 'Neoverse-V1',
  '0xd49': 'Neoverse-N2',
  '0xd4f': 'Neoverse-V2',
  '0xac3': 'AmpereOne',
}

/** Parses /proc/cpuinfo of x86, arm64 and POWER; what it does not tell stays empty or 0. */
export function parseCpuInfo(text: string): CpuInfo {
  const blocks = text.split(/\n\s*\n/).map(parseBlock)
  const first = (...keys: string[]): string => {
    for (const key of keys) for (const block of blocks) if (block.has(key)) return block.get(key) ?? ''
    return ''
  }
  const cpus = blocks.filter((block) => block.has('processor'))
  const implementer = first('CPU implementer')
  const part = first('CPU part')
  const armVendor = implementer && (ARM_VENDORS[implementer] ?? `implementer ${implementer}`)
  const armModel = part && (ARM_MODELS[part] ?? `part ${part}`)
  const frequencies = cpus.map((block) => parseFloat(block.get('cpu MHz') ?? block.get('clock') ?? ''))
  return {
    model: first('model name', 'cpu') || [armVendor, armModel].filter(Boolean).join(' '),
    vendor: first('vendor_id') || armVendor || (first('cpu').startsWith('POWER') ? 'IBM' : ''),
    features: first('flags', 'Features').split(/\s+/).filter(Boolean),
    frequencyMhz: Math.round(Math.max(0, ...frequencies.filter(Number.isFinite))),
    threads: cpus.map((block) => {
      const packageId = block.get('physical id') ?? '0'
      return { packageId, coreId: `${packageId}/${block.get('core id') ?? block.get('processor')}` }
    }),
  }
}

function parseBlock(text: string): Map<string, string> {
  const block = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) block.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim())
  }
  return block
}

/** Numbers of sockets, cores and threads. Mixed cores (some with, some without SMT) round up, so that nothing is left out. */
export function countTopology(
  threads: readonly CpuThread[],
): Pick<CpuFacts, 'sockets' | 'coresPerSocket' | 'threadsPerCore' | 'totalThreads'> {
  const totalThreads = Math.max(1, threads.length)
  const sockets = Math.max(1, new Set(threads.map((thread) => thread.packageId)).size)
  const cores = Math.max(1, new Set(threads.map((thread) => thread.coreId)).size)
  return {
    sockets,
    coresPerSocket: Math.ceil(cores / sockets),
    threadsPerCore: Math.ceil(totalThreads / cores),
    totalThreads,
  }
}

/** Expands a CPU list of the kernel, `0-3,8,10-11`. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = []
  for (const range of text.split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range.trim())
    if (match === null) continue
    for (let cpu = Number(match[1]); cpu <= Number(match[2] ?? match[1]); cpu++) cpus.push(cpu)
  }
  return cpus
}

/** CPU facts of this host; offline CPUs do not count. `frequencyMhz` is the highest the hardware allows, where it is told. */
export async function readCpu(proc: string, sys: string, architecture: string): Promise<CpuFacts> {
  const info = parseCpuInfo(await readAttribute(proc, 'cpuinfo'))
  const threads = await readTopology(path.join(sys, 'devices/system/cpu'))
  const maxKhz = await readNumber(sys, 'devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq')
  return {
    model: info.model,
    vendor: info.vendor,
    ...countTopology(threads.length > 0 ? threads : info.threads),
    frequencyMhz: maxKhz !== undefined && maxKhz > 0 ? Math.round(maxKhz / 1000) : info.frequencyMhz,
    features: info.features,
    architecture,
  }
}

async function readTopology(directory: string): Promise<CpuThread[]> {
  const cpus = parseCpuList(await readAttribute(directory, 'online'))
  const threads = await Promise.all(
    cpus.map(async (cpu) => {
      const topology = path.join(directory, `cpu${cpu}`, 'topology')
      if ((await listNames(topology)).length === 0) return undefined
      const packageId = await readAttribute(topology, 'physical_package_id')
      const siblings =
        (await readAttribute(topology, 'core_cpus_list')) || (await readAttribute(topology, 'thread_siblings_list'))
      return { packageId, coreId: siblings || String(cpu) }
    }),
  )
  return threads.filter((thread) => thread !== undefined)
}
