import { GIB, KIB, MIB } from '../core/bytes.ts'
import type { VmDisk } from '../core/model.ts'
import { METADATA_NAMESPACE } from './metadata-xml.ts'
import { readXml, type XmlElement } from './read-xml.ts'

/** A disk of a domain together with what our metadata says about it. */
export interface DomainDisk extends VmDisk {
  readonly poolId: string
  readonly volume: string
  readonly owned: boolean
}

/** A CD-ROM drive of a domain; `role` is empty in foreign domains. */
export interface DomainCdrom {
  readonly id: string
  readonly path: string
  readonly targetDev: string
  readonly role: 'user' | 'seed' | ''
}

/** What a domain's XML tells. Without our metadata (`managed: false`) ids are the target names and nothing is owned. */
export interface DomainFacts {
  readonly vmId: string
  readonly name: string
  readonly managed: boolean
  readonly specDigest: string
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly labels: Readonly<Record<string, string>>
  readonly disks: readonly DomainDisk[]
  readonly cdroms: readonly DomainCdrom[]
  /** Host paths of all files and devices the domain uses, backing chain included. */
  readonly paths: readonly string[]
}

/** Reads a domain XML of libvirt, ours or a foreign one. INTERNAL when it is not XML. */
export function parseDomain(xml: string): DomainFacts {
  const domain = readXml(xml)
  const ours = ourMetadata(domain)
  const media = domain.first('devices')?.all('disk') ?? []
  const disks = media.filter((disk) => (disk.attribute('device') ?? 'disk') === 'disk')
  const cdroms = media.filter((disk) => disk.attribute('device') === 'cdrom')
  return {
    vmId: (domain.first('uuid')?.text ?? '').toLowerCase(),
    name: domain.first('name')?.text ?? '',
    managed: ours !== undefined,
    specDigest: ours?.first('lqx:spec')?.attribute('digest') ?? '',
    cpuCount: Number(domain.first('vcpu')?.text ?? 0),
    memoryBytes: memoryBytes(domain.first('memory')),
    labels: labelsOf(ours),
    disks: disks.map((disk) => diskOf(disk, ours)),
    cdroms: cdroms.map((cdrom) => cdromOf(cdrom, ours)),
    paths: media.flatMap(pathsOf),
  }
}

function ourMetadata(domain: XmlElement): XmlElement | undefined {
  const element = domain.first('metadata', 'lqx:vm')
  return element?.attribute('xmlns:lqx') === METADATA_NAMESPACE ? element : undefined
}

function labelsOf(ours: XmlElement | undefined): Record<string, string> {
  const labels = ours?.first('lqx:labels')?.all('lqx:label') ?? []
  return Object.fromEntries(
    labels.map((label) => [label.first('lqx:name')?.text ?? '', label.first('lqx:value')?.text ?? '']),
  )
}

function diskOf(disk: XmlElement, ours: XmlElement | undefined): DomainDisk {
  const target = targetOf(disk)
  const mine = ours
    ?.first('lqx:disks')
    ?.all('lqx:disk')
    .find((one) => one.attribute('target') === target)
  return {
    id: mine?.attribute('id') ?? target,
    path: sourcePath(disk) ?? '',
    targetDev: target,
    bus: disk.first('target')?.attribute('bus') ?? '',
    format: disk.first('driver')?.attribute('type') ?? '',
    sizeBytes: Number(mine?.attribute('size') ?? 0),
    readonly: disk.first('readonly') !== undefined,
    bootable: mine === undefined ? disk.first('boot') !== undefined : mine.attribute('bootable') === 'yes',
    poolId: mine?.attribute('pool') ?? '',
    volume: mine?.attribute('volume') ?? '',
    owned: mine?.attribute('owned') === 'yes',
  }
}

function cdromOf(cdrom: XmlElement, ours: XmlElement | undefined): DomainCdrom {
  const targetDev = targetOf(cdrom)
  const mine = ours
    ?.first('lqx:cdroms')
    ?.all('lqx:cdrom')
    .find((one) => one.attribute('target') === targetDev)
  const role = mine?.attribute('role')
  return {
    id: mine?.attribute('id') ?? targetDev,
    path: sourcePath(cdrom) ?? '',
    targetDev,
    role: role === 'seed' || role === 'user' ? role : '',
  }
}

function targetOf(disk: XmlElement): string {
  return disk.first('target')?.attribute('dev') ?? ''
}

function sourcePath(element: XmlElement): string | undefined {
  const source = element.first('source')
  return source?.attribute('file') ?? source?.attribute('dev')
}

function pathsOf(disk: XmlElement): string[] {
  const paths: string[] = []
  for (let layer: XmlElement | undefined = disk; layer !== undefined; layer = layer.first('backingStore')) {
    const path = sourcePath(layer)
    if (path !== undefined) paths.push(path)
  }
  return paths
}

const MEMORY_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  kb: 1e3,
  k: KIB,
  kib: KIB,
  mb: 1e6,
  m: MIB,
  mib: MIB,
  gb: 1e9,
  g: GIB,
  gib: GIB,
}

// libvirt writes KiB, but the format allows all of these.
function memoryBytes(memory: XmlElement | undefined): number {
  const unit = (memory?.attribute('unit') ?? 'KiB').toLowerCase()
  return Number(memory?.text ?? 0) * (MEMORY_UNITS[unit] ?? KIB)
}
