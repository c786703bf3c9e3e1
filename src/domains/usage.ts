import type { VmUsage } from '../core/model.ts'
import { KIB } from '../core/bytes.ts'
import { VIR_CONNECT_GET_ALL_DOMAINS_STATS, VIR_DOMAIN_STATS } from '../libvirt/constants.ts'
import { numberParam, readTypedParams, type TypedValue } from '../libvirt/typed-params.ts'
import { uuidText } from '../libvirt/uuid.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'

const MIN_INTERVAL_MS = 2_000
const TIMEOUT_MS = 15_000
const GROUPS =
  VIR_DOMAIN_STATS.CPU_TOTAL |
  VIR_DOMAIN_STATS.BALLOON |
  VIR_DOMAIN_STATS.INTERFACE |
  VIR_DOMAIN_STATS.BLOCK |
  VIR_DOMAIN_STATS.VCPU
// A guest that hangs must not hold up the numbers of all others.
const FLAGS = VIR_CONNECT_GET_ALL_DOMAINS_STATS.ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS.NOWAIT

interface CpuSample {
  readonly cpuTimeNs: number
  readonly atMs: number
  readonly percent: number
}

/** Usage of all running VMs, asked of libvirt on demand and at most every two seconds, with one question for everybody who waits. */
export class UsageReader {
  readonly #libvirt: LibvirtCalls
  #latest: ReadonlyMap<string, VmUsage> = new Map()
  #readAtMs = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined
  #samples = new Map<string, CpuSample>()

  constructor(libvirt: LibvirtCalls) {
    this.#libvirt = libvirt
  }

  /** Usage by VM id. Throws what the libvirt client throws. */
  async read(): Promise<ReadonlyMap<string, VmUsage>> {
    if (monotonicMs() - this.#readAtMs >= MIN_INTERVAL_MS) {
      this.#running ??= this.#refresh().finally(() => (this.#running = undefined))
      await this.#running
    }
    return this.#latest
  }

  async #refresh(): Promise<void> {
    const { retStats } = await this.#libvirt.call(
      'remote:CONNECT_GET_ALL_DOMAIN_STATS',
      { doms: [], stats: GROUPS, flags: FLAGS },
      { timeoutMs: TIMEOUT_MS },
    )
    const now = monotonicMs()
    const observedAt = Date.now()
    const samples = new Map<string, CpuSample>()
    const usages = new Map<string, VmUsage>()
    for (const { dom, params } of retStats) {
      const vmId = uuidText(dom.uuid)
      const values = readTypedParams(params)
      const sample = cpuSample(values, now, this.#samples.get(vmId))
      samples.set(vmId, sample)
      usages.set(vmId, usageOf(values, sample, observedAt))
    }
    this.#samples = samples
    this.#latest = usages
    this.#readAtMs = now
  }
}

type Values = ReadonlyMap<string, TypedValue>

// Percent of all vCPUs together since the sample before; 0 until there are two.
function cpuSample(values: Values, atMs: number, before: CpuSample | undefined): CpuSample {
  const cpuTimeNs = numberParam(values, 'cpu.time') ?? 0
  const vcpus = Math.max(1, numberParam(values, 'vcpu.current') ?? 1)
  if (before === undefined || cpuTimeNs < before.cpuTimeNs || atMs <= before.atMs)
    return { cpuTimeNs, atMs, percent: 0 }
  const percent = ((cpuTimeNs - before.cpuTimeNs) / 1e6 / (atMs - before.atMs) / vcpus) * 100
  return { cpuTimeNs, atMs, percent: Math.min(100, percent) }
}

function usageOf(values: Values, sample: CpuSample, observedAt: number): VmUsage {
  const kib = (field: string) => {
    const value = numberParam(values, field)
    return value === undefined ? undefined : value * KIB
  }
  const total = kib('balloon.available') ?? kib('balloon.current') ?? 0
  // What the guest says it uses; without its balloon driver, what the QEMU process holds.
  const unused = kib('balloon.unused')
  const used = unused === undefined ? (kib('balloon.rss') ?? 0) : Math.max(0, total - unused)
  return {
    observedAt,
    cpuUsagePercent: sample.percent,
    cpuTimeNs: sample.cpuTimeNs,
    memoryUsedBytes: used,
    memoryTotalBytes: total,
    diskReadBytes: sumOf(values, 'block', 'rd.bytes'),
    diskWriteBytes: sumOf(values, 'block', 'wr.bytes'),
    networkRxBytes: sumOf(values, 'net', 'rx.bytes'),
    networkTxBytes: sumOf(values, 'net', 'tx.bytes'),
  }
}

function sumOf(values: Values, group: string, field: string): number {
  let sum = 0
  const count = numberParam(values, `${group}.count`) ?? 0
  for (let index = 0; index < count; index++) sum += numberParam(values, `${group}.${index}.${field}`) ?? 0
  return sum
}
