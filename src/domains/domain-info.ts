import { GIB, KIB, MIB } from '../core/bytes.ts'
import type { VmDisk, VmNic } from '../core/model.ts'
import { deviceName } from './device-place.ts'
import { METADATA_NAMESPACE } from './metadata-xml.ts'
import { DEFAULT_MONITOR_PORT, monitorText } from '../storage/ceph-client.ts'
import { readXml, type XmlElement } from './read-xml.ts'

/** A disk of a domain together with what our metadata says about it. */
export interface DomainDisk extends VmDisk {
  /** Place (placeOf) of the active layer; empty when there is none. */
  readonly place: string
  /** Of a Ceph image: `host:port` of the monitors of its cluster. */
  readonly monitors?: readonly string[]
  readonly poolId: string
  readonly volume: string
  readonly owned: boolean
  /** libvirt's name of the device while the domain runs. */
  readonly alias?: string
}

/** A file of a disk that grew overlays for snapshots: one of the overlays, or what they all stand on. */
export interface DomainLayer {
  readonly path: string
  readonly format: 'qcow2' | 'raw'
  /** Id of the disk. */
  readonly disk: string
  /** Pool and volume; no volume for a file that is none. */
  readonly poolId: string
  readonly volume: string
  /** Goes with the VM. */
  readonly owned: boolean
  /** Made for a snapshot. */
  readonly overlay: boolean
  /** Name of the snapshot that it stands for; empty when there is none. libvirt's own notes of that change when it forgets another snapshot. */
  readonly keeps: string
}

/** A CD-ROM drive of a domain; `role` is empty in foreign domains. */
export interface DomainCdrom {
  readonly id: string
  readonly path: string
  readonly targetDev: string
  readonly role: 'user' | 'seed' | ''
  readonly alias?: string
}

/** A network interface of a domain; the id of one in a foreign domain is its MAC address. */
export type DomainNic = VmNic

/** What a domain's XML tells. Without our metadata (`managed: false`) ids are the target names and nothing is owned. */
export interface DomainFacts {
  readonly vmId: string
  readonly name: string
  readonly managed: boolean
  readonly specDigest: string
  /** Started after a boot of the host. */
  readonly autostart: boolean
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly labels: Readonly<Record<string, string>>
  readonly disks: readonly DomainDisk[]
  /** Ours in the order they came. */
  readonly cdroms: readonly DomainCdrom[]
  readonly nics: readonly DomainNic[]
  /** All files of the disks with external snapshots, of other branches than the present one too, each after what it stands on. */
  readonly layers: readonly DomainLayer[]
  /** Places (placeOf) of all files, devices and network images the domain uses: backing chains, layers and the targets of running copies included. */
  readonly paths: readonly string[]
}

/** Reads a domain XML of libvirt, ours or a foreign one. INTERNAL when it is not XML. */
export function parseDomain(xml: string): DomainFacts {
  const domain = readXml(xml)
  const ours = ourMetadata(domain)
  const media = domain.first('devices')?.all('disk') ?? []
  const disks = media.filter((disk) => (disk.attribute('device') ?? 'disk') === 'disk')
  const cdroms = media.filter((disk) => disk.attribute('device') === 'cdrom')
  const layers = layersOf(ours)
  return {
    vmId: (domain.first('uuid')?.text ?? '').toLowerCase(),
    name: domain.first('name')?.text ?? '',
    managed: ours !== undefined,
    autostart: ours?.attribute('autostart') === 'yes',
    specDigest: ours?.first('lqx:spec')?.attribute('digest') ?? '',
    cpuCount: Number(domain.first('vcpu')?.text ?? 0),
    memoryBytes: memoryBytes(domain.first('memory')),
    labels: labelsOf(ours),
    disks: disks.map((disk) => diskOf(disk, ours)),
    cdroms: inOurOrder(
      cdroms.map((cdrom) => cdromOf(cdrom, ours)),
      ours,
    ),
    nics: (domain.first('devices')?.all('interface') ?? []).map((nic) => nicOf(nic, ours)),
    layers,
    paths: [...new Set([...media.flatMap(pathsOf), ...layers.map(({ path }) => path)])],
  }
}

function layersOf(ours: XmlElement | undefined): DomainLayer[] {
  return (ours?.first('lqx:layers')?.all('lqx:layer') ?? []).map((layer) => ({
    path: layer.attribute('path') ?? '',
    format: layer.attribute('format') === 'raw' ? 'raw' : 'qcow2',
    disk: layer.attribute('disk') ?? '',
    poolId: layer.attribute('pool') ?? '',
    volume: layer.attribute('volume') ?? '',
    owned: layer.attribute('owned') === 'yes',
    overlay: layer.attribute('overlay') === 'yes',
    keeps: layer.attribute('keeps') ?? '',
  }))
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
    path: sourceText(disk) ?? '',
    place: sourcePlace(disk) ?? '',
    targetDev: target,
    bus: disk.first('target')?.attribute('bus') ?? '',
    format: disk.first('driver')?.attribute('type') ?? '',
    sizeBytes: Number(mine?.attribute('size') ?? 0),
    readonly: disk.first('readonly') !== undefined,
    bootable: mine === undefined ? disk.first('boot') !== undefined : mine.attribute('bootable') === 'yes',
    poolId: mine?.attribute('pool') ?? '',
    volume: mine?.attribute('volume') ?? '',
    owned: mine?.attribute('owned') === 'yes',
    ...monitorsOf(disk),
    ...aliasOf(disk),
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
    path: sourceText(cdrom) ?? '',
    targetDev,
    role: role === 'seed' || role === 'user' ? role : '',
    ...aliasOf(cdrom),
  }
}

// libvirt sorts drives by bus and name; control planes count them as they came.
function inOurOrder(cdroms: readonly DomainCdrom[], ours: XmlElement | undefined): DomainCdrom[] {
  const targets =
    ours
      ?.first('lqx:cdroms')
      ?.all('lqx:cdrom')
      .map((entry) => entry.attribute('target')) ?? []
  const rank = ({ targetDev }: DomainCdrom) => {
    const index = targets.indexOf(targetDev)
    return index === -1 ? targets.length : index
  }
  return cdroms.toSorted((a, b) => rank(a) - rank(b))
}

function nicOf(nic: XmlElement, ours: XmlElement | undefined): DomainNic {
  const macAddress = (nic.first('mac')?.attribute('address') ?? '').toLowerCase()
  const mine = ours
    ?.first('lqx:nics')
    ?.all('lqx:nic')
    .find((one) => one.attribute('mac') === macAddress)
  const source = nic.first('source')
  return {
    id: mine?.attribute('id') ?? macAddress,
    macAddress,
    model: nic.first('model')?.attribute('type') ?? '',
    network: source?.attribute('network') ?? source?.attribute('bridge') ?? '',
    linkUp: nic.first('link')?.attribute('state') !== 'down',
    bandwidthMbps: Number(nic.first('bandwidth', 'inbound')?.attribute('average') ?? 0) / 125,
  }
}

function aliasOf(device: XmlElement): { alias?: string } {
  const alias = device.first('alias')?.attribute('name')
  return alias === undefined ? {} : { alias }
}

function targetOf(disk: XmlElement): string {
  return disk.first('target')?.attribute('dev') ?? ''
}

// As libvirt names it, for people.
function sourceText(element: XmlElement): string | undefined {
  const source = element.first('source')
  return source?.attribute('file') ?? source?.attribute('dev') ?? networkName(source)
}

function sourcePlace(element: XmlElement): string | undefined {
  const text = sourceText(element)
  return text === undefined ? undefined : deviceName(text)
}

// Without hosts in it QEMU asks the configuration of its host.
function monitorsOf(disk: XmlElement): Pick<DomainDisk, 'monitors'> {
  const source = disk.first('source')
  if (source?.attribute('protocol') !== 'rbd') return {}
  const monitors = source.all('host').map((host) => {
    const name = (host.attribute('name') ?? '').replace(/^\[(.*)\]$/, '$1')
    return monitorText({ host: name, port: Number(host.attribute('port') ?? DEFAULT_MONITOR_PORT) })
  })
  return monitors.length === 0 ? {} : { monitors }
}

function networkName(source: XmlElement | undefined): string | undefined {
  const protocol = source?.attribute('protocol')
  return protocol === undefined ? undefined : `${protocol}:${source?.attribute('name') ?? ''}`
}

function pathsOf(disk: XmlElement): string[] {
  const mirror = disk.first('mirror')
  return [...chainOf(disk), ...(mirror === undefined ? [] : chainOf(mirror))]
}

/** Places (placeOf) of the layers of a `<disk>` as far as its XML names them, active one first. */
export function chainOf(top: XmlElement): string[] {
  const places: string[] = []
  for (let layer: XmlElement | undefined = top; layer !== undefined; layer = layer.first('backingStore')) {
    const place = sourcePlace(layer)
    if (place !== undefined) places.push(place)
  }
  return places
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
