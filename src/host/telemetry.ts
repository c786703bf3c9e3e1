import { readFile } from 'node:fs/promises'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { HostLoad } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import { parseMemInfo } from './memory.ts'

/** Jiffies since boot over all CPUs. */
export interface CpuTimes {
  readonly busy: number
  readonly total: number
}

/** Parses the first line of /proc/stat. Waiting for I/O is idle; time stolen by the hypervisor is not. */
export function parseCpuTimes(text: string): CpuTimes {
  const fields = (/^cpu\s+(.*)$/m.exec(text)?.[1] ?? '').split(/\s+/).map(Number)
  // guest and guest_nice (8, 9) are part of user and nice.
  const total = fields.slice(0, 8).reduce((sum, value) => sum + value, 0)
  return { busy: total - (fields[3] ?? 0) - (fields[4] ?? 0), total }
}

/** Percent of all CPUs that was busy between two samples, 0 to 100. iowait may run backwards, so the result is limited. */
export function cpuUsagePercent(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total
  if (total <= 0) return 0
  return Math.min(100, Math.max(0, ((after.busy - before.busy) / total) * 100))
}

/** Parses /proc/loadavg. */
export function parseLoadAverage(text: string): { load1: number; load5: number; load15: number } {
  const [load1 = 0, load5 = 0, load15 = 0] = text.split(' ').map(Number)
  return { load1, load5, load15 }
}

/** The load of this host, sampled in the background. */
export interface Telemetry {
  /** The last sample, at once. An old one starts a new sample for the next reader. */
  load(): HostLoad
  /** Takes a sample now, unless the last is younger than 2 s. A failure is logged and leaves the last sample. */
  refresh(): Promise<HostLoad>
  /** Stops sampling. */
  stop(): void
}

export interface TelemetryOptions {
  readonly log: Logger
  readonly proc?: string
  /** Time between background samples. */
  readonly periodMs?: number
  /** Monotonic clock. */
  readonly now?: () => number
}

const PERIOD_MS = 10_000
const MIN_AGE_MS = 2_000

/** Starts sampling with a timer that does not keep the process alive. The first sample has no CPU usage: it is the time since boot. */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  const { log, proc = '/proc', periodMs = PERIOD_MS, now = monotonicMs } = options
  let times: CpuTimes | undefined
  let sampledAt = Number.NEGATIVE_INFINITY
  let running: Promise<void> | undefined
  let latest: HostLoad = {
    observedAt: 0,
    cpuUsagePercent: 0,
    memoryUsedBytes: 0,
    memoryTotalBytes: 0,
    load1: 0,
    load5: 0,
    load15: 0,
  }
  const sample = async () => {
    const [stat, memInfo, loadAverage] = await Promise.all(
      ['stat', 'meminfo', 'loadavg'].map((name) => readFile(`${proc}/${name}`, 'utf8')),
    )
    const after = parseCpuTimes(stat ?? '')
    const memory = parseMemInfo(memInfo ?? '')
    latest = {
      observedAt: Date.now(),
      cpuUsagePercent: cpuUsagePercent(times ?? { busy: 0, total: 0 }, after),
      memoryUsedBytes: memory.usedBytes,
      memoryTotalBytes: memory.totalBytes,
      ...parseLoadAverage(loadAverage ?? ''),
    }
    times = after
    sampledAt = now()
  }
  const refresh = async () => {
    if (now() - sampledAt >= MIN_AGE_MS) {
      running ??= sample()
        .catch((error: unknown) => log.warn({ err: errorText(error) }, 'cannot read the load of the host'))
        .finally(() => (running = undefined))
    }
    await running
    return latest
  }
  const timer = setInterval(() => void refresh(), periodMs)
  timer.unref()
  void refresh()
  return {
    load() {
      if (now() - sampledAt > 2 * periodMs) void refresh()
      return latest
    },
    refresh,
    stop: () => clearInterval(timer),
  }
}
