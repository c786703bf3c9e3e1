import { KIB } from '../core/bytes.ts'
import type { VmDiskCounters, VmNicCounters } from '../core/metrics.ts'
import type { RemoteTypedParam } from '../libvirt/wire/remote-types.gen.ts'

/** A disk or NIC as libvirt counts it, by its place in the domain's list of these. */
export type RawDisk = Omit<VmDiskCounters, 'id' | 'poolId'> & { readonly index: number }
export type RawNic = Omit<VmNicCounters, 'id'> & { readonly index: number }

/** One domain's part of the answer to CONNECT_GET_ALL_DOMAIN_STATS. What needs QEMU's own word is absent when libvirt could not ask it at once. */
export interface StatsRecord {
  readonly cpuTimeNs: number
  readonly cpuUserNs: number
  readonly cpuSystemNs: number
  readonly nics: readonly RawNic[]
  readonly memory: RawMemory | undefined
  readonly disks: readonly RawDisk[] | undefined
}

/** Memory in bytes, as far as libvirt tells. */
export interface RawMemory {
  readonly balloonBytes: number | undefined
  /** As the guest sees it; only with its balloon driver. */
  readonly availableBytes: number | undefined
  readonly unusedBytes: number | undefined
  readonly residentBytes: number | undefined
}

interface FieldPlace {
  readonly group: string
  readonly index: number
  readonly name: string
}
// The names are the same for every domain, and taking one apart costs more than finding it here.
const places = new Map<string, FieldPlace>()
const MAX_PLACES = 20_000

function placeOf(field: string): FieldPlace {
  const known = places.get(field)
  if (known !== undefined) return known
  const parts = /^(block|net)\.(\d+)\.(.+)$/.exec(field)
  const place =
    parts === null
      ? { group: '', index: 0, name: field }
      : { group: parts[1] ?? '', index: Number(parts[2]), name: parts[3] ?? '' }
  if (places.size < MAX_PLACES) places.set(field, place)
  return place
}

type Values = Map<string, number | string>

/** Reads the typed parameters of one domain; fields it does not know are left out, so newer versions of libvirt do no harm. */
export function readStatsRecord(params: readonly RemoteTypedParam[]): StatsRecord {
  const own: Values = new Map()
  const blocks: Values[] = []
  const nets: Values[] = []
  for (const { field, value } of params) {
    const { group, index, name } = placeOf(field)
    const into = group === '' ? own : ((group === 'block' ? blocks : nets)[index] ??= new Map())
    into.set(name, typeof value.value === 'bigint' ? Number(value.value) : value.value)
  }
  const kib = (name: string) => {
    const value = numberIn(own, name)
    return value === undefined ? undefined : value * KIB
  }
  // Told from libvirt's own memory too: only what QEMU answered has the rest.
  const memory: RawMemory = {
    balloonBytes: kib('balloon.current'),
    availableBytes: kib('balloon.available'),
    unusedBytes: kib('balloon.unused'),
    residentBytes: kib('balloon.rss'),
  }
  const asked = blocks.some((block) => block.has('rd.bytes'))
  return {
    cpuTimeNs: numberIn(own, 'cpu.time') ?? 0,
    cpuUserNs: numberIn(own, 'cpu.user') ?? 0,
    cpuSystemNs: numberIn(own, 'cpu.system') ?? 0,
    // A NIC without a tap has no entry; flatMap leaves such gaps out.
    nics: nets.flatMap(nicOf),
    memory: Object.values(memory).some((value) => value !== undefined) ? memory : undefined,
    // A domain without any disk tells `block.count` 0, and has nothing that could be missing.
    disks: asked || numberIn(own, 'block.count') === 0 ? blocks.flatMap(diskOf) : undefined,
  }
}

function numberIn(values: Values, name: string): number | undefined {
  const value = values.get(name)
  return typeof value === 'number' ? value : undefined
}

const textIn = (values: Values, name: string) => String(values.get(name) ?? '')

function diskOf(values: Values, index: number): RawDisk {
  const count = (name: string) => numberIn(values, name) ?? 0
  const [capacityBytes, allocationBytes, physicalBytes] = ['capacity', 'allocation', 'physical'].map((name) =>
    numberIn(values, name),
  )
  return {
    index,
    device: textIn(values, 'name'),
    readBytes: count('rd.bytes'),
    readRequests: count('rd.reqs'),
    readNs: count('rd.times'),
    writeBytes: count('wr.bytes'),
    writeRequests: count('wr.reqs'),
    writeNs: count('wr.times'),
    flushRequests: count('fl.reqs'),
    flushNs: count('fl.times'),
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    ...(allocationBytes === undefined ? {} : { allocationBytes }),
    ...(physicalBytes === undefined ? {} : { physicalBytes }),
  }
}

// libvirt turns the directions of a tap round, so `rx` is the guest's.
function nicOf(values: Values, index: number): RawNic {
  const count = (name: string) => numberIn(values, name) ?? 0
  return {
    index,
    device: textIn(values, 'name'),
    rxBytes: count('rx.bytes'),
    rxPackets: count('rx.pkts'),
    rxErrors: count('rx.errs'),
    rxDropped: count('rx.drop'),
    txBytes: count('tx.bytes'),
    txPackets: count('tx.pkts'),
    txErrors: count('tx.errs'),
    txDropped: count('tx.drop'),
  }
}
