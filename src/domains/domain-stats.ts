import { VIR_CONNECT_GET_ALL_DOMAINS_STATS, VIR_DOMAIN_STATS } from '../libvirt/constants.ts'
import { uuidText } from '../libvirt/uuid.ts'
import type { RemoteDomainStatsRecord, RemoteNonnullDomain } from '../libvirt/wire/remote-types.gen.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'
import { readStatsRecord, type RawDisk, type RawMemory, type RawNic } from './stats-record.ts'

const MIN_INTERVAL_MS = 2_000
/** After that a question counts as late: some QEMU, or the storage below it, does not answer. */
const LATE_MS = 700
/** How long a caller waits for new numbers; the last ones carry their time. */
const PATIENCE_MS = 1_000
/** Late questions that may hang at once: each holds one of libvirtd's workers (20) until its guest answers or ends. */
const MAX_LATE = 3
const QUICK_TIMEOUT_MS = 15_000
/** A late question is kept, not repeated: it ends with its guest, or with the connection. */
const FOREVER_MS = 2 ** 31 - 1
/** What libvirt tells from the kernel, without a word to any QEMU. */
const QUICK_GROUPS = VIR_DOMAIN_STATS.CPU_TOTAL | VIR_DOMAIN_STATS.INTERFACE
/** What only QEMU knows. */
const DEVICE_GROUPS = VIR_DOMAIN_STATS.BALLOON | VIR_DOMAIN_STATS.BLOCK
// A domain with which somebody else is busy is left out of what QEMU would have to tell, instead of waited for.
const FLAGS = VIR_CONNECT_GET_ALL_DOMAINS_STATS.ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS.NOWAIT

/** What is known of one running domain. */
export interface DomainSample {
  /** When CPU and NICs were read, ms since the epoch. */
  readonly observedAt: number
  readonly cpuTimeNs: number
  readonly cpuUserNs: number
  readonly cpuSystemNs: number
  /** CPUs' worth of time per second since the sample before; 0 until there are two. */
  readonly busyCpus: number
  readonly nics: readonly RawNic[]
  readonly memory: RawMemory | undefined
  readonly disks: readonly RawDisk[]
  /** When disks and memory were read; 0 = never. */
  readonly devicesObservedAt: number
}

interface Sample extends DomainSample {
  readonly atMs: number
  /** libvirt's number of this run of the guest. */
  readonly run: number
}

/**
 * Counters of all running domains: one question to libvirt for all of them and for everybody who asks, at most every two seconds. One that hangs costs the others nothing: while a question is late,
 * CPU and NICs of all are asked for without QEMU, disks and memory in a question of their own, which leaves out domains that are busy.
 */
export class DomainStats {
  readonly #libvirt: LibvirtCalls
  #latest: ReadonlyMap<string, Sample> = new Map()
  #readAtMs = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined
  readonly #late = new Set<Promise<unknown>>()
  /** Ids of VMs whose storage is known not to answer: their QEMU is not asked. */
  stalled: () => ReadonlySet<string> = () => new Set()

  constructor(libvirt: LibvirtCalls) {
    this.#libvirt = libvirt
  }

  /** Questions that have not been answered for a while. */
  get lateQuestions(): number {
    return this.#late.size
  }

  /** Samples by VM id: of now, or the last ones when that takes long. Throws what the libvirt client throws. */
  async read(): Promise<ReadonlyMap<string, DomainSample>> {
    if (monotonicMs() - this.#readAtMs >= MIN_INTERVAL_MS) {
      this.#running ??= this.#refresh().finally(() => (this.#running = undefined))
      await inTime(this.#running, PATIENCE_MS)
    }
    return this.#latest
  }

  async #refresh(): Promise<void> {
    const stalled = this.stalled()
    if (stalled.size === 0 && this.#late.size === 0 && (await this.#ask([], QUICK_GROUPS | DEVICE_GROUPS))) return
    const records = await this.#question([], QUICK_GROUPS, QUICK_TIMEOUT_MS)
    this.#take(records, false)
    if (this.#late.size >= MAX_LATE) return
    const doms = records.map(({ dom }) => dom).filter((dom) => !stalled.has(uuidText(dom.uuid)))
    // An empty list would mean all of them.
    if (doms.length > 0) await this.#ask(doms, DEVICE_GROUPS)
  }

  /** False when the answer is late. When it comes at last, disks and memory are taken from it as of the time it was asked, since parts of it may be as old as that. */
  async #ask(doms: readonly RemoteNonnullDomain[], groups: number): Promise<boolean> {
    const askedAt = Date.now()
    const question = this.#question(doms, groups, FOREVER_MS)
    const waited = new AbortController()
    const late = delay(LATE_MS, waited.signal).then(
      () => undefined,
      () => undefined,
    )
    const records = await Promise.race([question, late]).finally(() => waited.abort())
    if (records === undefined) {
      this.#late.add(question)
      const over = () => void this.#late.delete(question)
      question
        .then(
          (answer) => this.#takeLate(answer, askedAt),
          () => undefined,
        )
        .finally(over)
      return false
    }
    this.#take(records, (groups & QUICK_GROUPS) === 0)
    return true
  }

  #takeLate(records: readonly RemoteDomainStatsRecord[], askedAt: number): void {
    const samples = new Map(this.#latest)
    for (const { dom, params } of records) {
      const vmId = uuidText(dom.uuid)
      const known = samples.get(vmId)
      const { memory, disks } = readStatsRecord(params)
      // What was counted in another run of the guest is not its own.
      if (disks === undefined || known?.run !== dom.id || known.devicesObservedAt >= askedAt) continue
      samples.set(vmId, { ...known, memory: memory ?? known.memory, disks, devicesObservedAt: askedAt })
    }
    this.#latest = samples
  }

  async #question(doms: readonly RemoteNonnullDomain[], stats: number, timeoutMs: number) {
    const { retStats } = await this.#libvirt.call(
      'remote:CONNECT_GET_ALL_DOMAIN_STATS',
      { doms, stats, flags: FLAGS },
      { timeoutMs },
    )
    return retStats
  }

  #take(records: readonly RemoteDomainStatsRecord[], devicesOnly: boolean): void {
    const atMs = monotonicMs()
    const now = Date.now()
    // Domains that only the second of two questions leaves out are still there.
    const samples = new Map<string, Sample>(devicesOnly ? this.#latest : [])
    for (const { dom, params } of records) {
      const vmId = uuidText(dom.uuid)
      const before = this.#latest.get(vmId)
      const { memory, disks, ...quick } = readStatsRecord(params)
      // Another run of the guest: what was counted before is not its own.
      const same = before !== undefined && (devicesOnly || quick.cpuTimeNs >= before.cpuTimeNs) ? before : undefined
      const cpu = devicesOnly
        ? same
        : { ...quick, busyCpus: busyCpus(quick.cpuTimeNs, atMs, same), observedAt: now, atMs, run: dom.id }
      if (cpu === undefined) continue
      samples.set(vmId, {
        ...cpu,
        memory: memory ?? same?.memory,
        disks: disks ?? same?.disks ?? [],
        devicesObservedAt: disks === undefined ? (same?.devicesObservedAt ?? 0) : now,
      })
    }
    this.#latest = samples
    this.#readAtMs = atMs
  }
}

function busyCpus(cpuTimeNs: number, atMs: number, before: Sample | undefined): number {
  if (before === undefined || atMs <= before.atMs) return 0
  return (cpuTimeNs - before.cpuTimeNs) / 1e6 / (atMs - before.atMs)
}

// Whoever started the work is not bound to wait for it.
async function inTime(work: Promise<void>, limitMs: number): Promise<void> {
  const waited = new AbortController()
  const late = delay(limitMs, waited.signal).catch(() => undefined)
  try {
    await Promise.race([work, late])
  } finally {
    waited.abort()
    work.catch(() => undefined)
  }
}
