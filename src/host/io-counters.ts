import { readFile } from 'node:fs/promises'
import type { HostCounters, HostDiskCounters, HostNicCounters } from '../core/metrics.ts'
import { monotonicMs } from '../platform/clock.ts'
import { isHostDisk } from './block-devices.ts'

// The kernel counts in these units whatever the device's own sector size is.
const SECTOR_BYTES = 512
const MIN_INTERVAL_MS = 1_000

interface RawDisk {
  readonly device: string
  readonly reads: number
  readonly readBytes: number
  readonly writes: number
  readonly writeBytes: number
  readonly busyMs: number
}
type RawNic = Omit<HostNicCounters, 'rxBytesPerSecond' | 'txBytesPerSecond'>

/** Parses /proc/diskstats (Documentation/admin-guide/iostats.rst): whole disks of the host, without partitions. */
export function parseDiskStats(text: string): RawDisk[] {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/))
  const names = lines.map((fields) => fields[2] ?? '').filter((name) => name !== '' && isHostDisk(name))
  return lines.flatMap((fields) => {
    const name = fields[2] ?? ''
    if (!names.includes(name) || names.some((disk) => isPartition(name, disk))) return []
    const [reads = 0, , readSectors = 0, , writes = 0, , writtenSectors = 0, , , busyMs = 0] = fields
      .slice(3)
      .map(Number)
    const readBytes = readSectors * SECTOR_BYTES
    const writeBytes = writtenSectors * SECTOR_BYTES
    return [{ device: name.replaceAll('!', '/'), reads, readBytes, writes, writeBytes, busyMs }]
  })
}

// sda1 of sda, nvme0n1p2 of nvme0n1.
function isPartition(name: string, disk: string): boolean {
  if (name === disk || !name.startsWith(disk)) return false
  return (/\d$/.test(disk) ? /^p\d+$/ : /^\d+$/).test(name.slice(disk.length))
}

/** Parses /proc/net/dev: the interfaces of the host, without loopback and the taps of guests. */
export function parseNetDev(text: string): RawNic[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', rest = ''] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? []
    if (name === '' || /^(lo|vnet\d+|tap.*|veth.*)$/.test(name)) return []
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, , , , , , txBytes = 0, txPackets = 0, txErrors = 0] = rest
      .trim()
      .split(/\s+/)
      .map(Number)
    return [{ name, rxBytes, rxPackets, rxErrors, txBytes, txPackets, txErrors }]
  })
}

/** Counters of the host's disks and interfaces with rates since the reading before; read at most every second, for everybody who asks. */
export class HostIoCounters {
  readonly #proc: string
  readonly #now: () => number
  #raw: { atMs: number; disks: Map<string, RawDisk>; nics: Map<string, RawNic> } | undefined
  #latest: HostCounters = { observedAt: 0, disks: [], nics: [] }
  #running: Promise<HostCounters> | undefined

  constructor({ proc = '/proc', now = monotonicMs }: { proc?: string; now?: () => number } = {}) {
    this.#proc = proc
    this.#now = now
  }

  /** Rates are 0 in the first answer. Rejects when the kernel's files cannot be read. */
  async read(): Promise<HostCounters> {
    if (this.#raw !== undefined && this.#now() - this.#raw.atMs < MIN_INTERVAL_MS) return this.#latest
    return (this.#running ??= this.#refresh().finally(() => (this.#running = undefined)))
  }

  async #refresh(): Promise<HostCounters> {
    const [diskText, nicText] = await Promise.all(
      ['diskstats', 'net/dev'].map((name) => readFile(`${this.#proc}/${name}`, 'utf8')),
    )
    const before = this.#raw
    const atMs = this.#now()
    const disks = parseDiskStats(diskText ?? '')
    const nics = parseNetDev(nicText ?? '')
    const seconds = before === undefined ? 0 : (atMs - before.atMs) / 1000
    // A device that was taken out and put in again counts from 0.
    const rate = (now: number, then: number | undefined) =>
      then === undefined || seconds <= 0 ? 0 : Math.max(0, now - then) / seconds
    this.#latest = {
      observedAt: Date.now(),
      disks: disks.map((disk): HostDiskCounters => {
        const old = before?.disks.get(disk.device)
        const { device, readBytes, writeBytes } = disk
        return {
          device,
          readBytes,
          writeBytes,
          readBytesPerSecond: rate(readBytes, old?.readBytes),
          writeBytesPerSecond: rate(writeBytes, old?.writeBytes),
          readsPerSecond: rate(disk.reads, old?.reads),
          writesPerSecond: rate(disk.writes, old?.writes),
          busyPercent: Math.min(100, rate(disk.busyMs, old?.busyMs) / 10),
        }
      }),
      nics: nics.map((nic): HostNicCounters => {
        const old = before?.nics.get(nic.name)
        return {
          ...nic,
          rxBytesPerSecond: rate(nic.rxBytes, old?.rxBytes),
          txBytesPerSecond: rate(nic.txBytes, old?.txBytes),
        }
      }),
    }
    this.#raw = {
      atMs,
      disks: new Map(disks.map((disk) => [disk.device, disk])),
      nics: new Map(nics.map((nic) => [nic.name, nic])),
    }
    return this.#latest
  }
}
