import { VIR_MIGRATE } from '../../libvirt/constants.ts'
import { quote } from '../../core/ids.ts'
import { deviceName } from '../device-place.ts'
import { nicPlace } from '../nic-xml.ts'
import { readXml, type XmlElement } from '../read-xml.ts'

/** What a VM that comes in may be made of on this host. */
export interface GuestLimits {
  readonly vmId: string
  readonly name: string
  /** Places (placeOf) that its disks and drives may use: those that this host found itself. */
  readonly places: ReadonlySet<string>
  /** The VM's own directory here. */
  readonly directory: string
  /** The QEMU that is configured, when there is one. */
  readonly emulator: string | undefined
}

/** Elements of a domain that the agent makes, or libvirt adds to those. */
const MACHINE = new Set(
  'name uuid genid title description metadata memory currentMemory maxMemory vcpu iothreads iothreadids resource os features cpu clock on_poweroff on_reboot on_crash pm devices seclabel memoryBacking'.split(
    ' ',
  ),
)
/** Elements of a snapshot beside the definitions of then. */
const SNAPSHOT = new Set('name description state creationTime parent memory disks cookie active'.split(' '))
const FIRMWARE = new Set('type firmware loader nvram boot bootmenu smbios bios'.split(' '))
/** Devices, and the types that each may have; none given: any. */
const DEVICES: ReadonlyMap<string, readonly string[] | undefined> = new Map([
  ['emulator', undefined],
  ['disk', undefined],
  ['controller', undefined],
  ['interface', undefined],
  ['serial', ['pty']],
  ['console', ['pty']],
  ['channel', ['unix', 'spicevmc']],
  ['input', ['tablet', 'mouse', 'keyboard']],
  ['graphics', ['vnc', 'spice']],
  ['audio', ['none', 'spice']],
  ['video', undefined],
  ['memballoon', undefined],
  ['tpm', undefined],
  ['watchdog', undefined],
  ['panic', undefined],
  ['rng', undefined],
])
const EMULATOR = /^\/usr\/(?:bin\/(?:qemu-system-\w+|qemu-kvm|kvm)|libexec\/qemu-kvm)$/
/** Files of libvirt and of the packages of firmware: what it makes for a guest by itself. */
const OF_LIBVIRT = /^\/(?:usr\/share\/(?:OVMF|qemu|edk2|ovmf|seabios)|(?:var\/lib|run|var\/run)\/libvirt\/qemu)\//
const TERMINAL = /^\/dev\/pts\/\d+$/
const RANDOM = new Set(['/dev/urandom', '/dev/random'])
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

/** Why a domain XML of another host is not taken: everything in it that this agent makes in no VM, or that is not the one that was offered. Empty when it may be. INTERNAL when it is no XML. */
export function strangeParts(xml: string, limits: GuestLimits): string[] {
  return domainParts(readXml(xml), limits)
}

/** The same of a cookie of libvirt (base64), which carries the definition for the next start. */
export function strangeCookie(cookie: string, limits: GuestLimits): string[] {
  const xml = Buffer.from(cookie, 'base64').toString('utf8').replace(/\0+$/, '')
  if (xml === '') return []
  return readXml(xml)
    .all('domain')
    .flatMap((domain) => domainParts(domain, limits))
}

/** The same of a `<domainsnapshot>`: the definitions in it are taken when the VM goes back to it. */
export function strangeSnapshot(xml: string, limits: GuestLimits): string[] {
  const root = readXml(xml)
  const name = root.first('name')?.text ?? ''
  const strange: string[] = []
  if (root.name !== 'domainsnapshot') return ['one of its snapshots is none']
  for (const child of root.children) {
    if (child.name === 'domain' || child.name === 'inactiveDomain')
      strange.push(...domainParts({ ...child, name: 'domain' }, limits))
    else if (!SNAPSHOT.has(child.name)) strange.push(`it has <${child.name}>`)
  }
  const files = ['disks', 'memory'].flatMap((part) => root.all(part).flatMap(filesOf))
  for (const file of files) if (!limits.places.has(deviceName(file))) strange.push(`it uses the file ${file}`)
  return strange.map((text) => `snapshot ${quote(name)}: ${text}`)
}

/** Places (as in GuestLimits) of everything in pools that a `<domainsnapshot>` names. Pure. */
export function placesOfSnapshot(snapshot: XmlElement): string[] {
  const domains = [...snapshot.all('domain'), ...snapshot.all('inactiveDomain')]
  const disks = domains.flatMap((domain) => domain.first('devices')?.all('disk') ?? [])
  const all = [...disks, ...snapshot.all('disks')].flatMap(elementsOf)
  const remote = all
    .filter((one) => one.name === 'source' && one.attribute('protocol') !== undefined)
    .map((one) => `${one.attribute('protocol')}:${one.attribute('name') ?? ''}`)
  const local = [...disks, ...snapshot.all('disks')].flatMap(filesOf).map(deviceName)
  return [...new Set([...remote, ...local])]
}

/** What a source may ask of libvirt here; each has its meaning in outgoing.ts. */
const FLAGS =
  VIR_MIGRATE.PERSIST_DEST |
  VIR_MIGRATE.UNSAFE |
  VIR_MIGRATE.ABORT_ON_ERROR |
  VIR_MIGRATE.LIVE |
  VIR_MIGRATE.PAUSED |
  VIR_MIGRATE.NON_SHARED_DISK |
  VIR_MIGRATE.AUTO_CONVERGE |
  VIR_MIGRATE.POSTCOPY |
  VIR_MIGRATE.TLS |
  VIR_MIGRATE.CHANGE_PROTECTION

/** The same of its flags. */
export function strangeFlags(flags: number): string[] {
  return (flags & ~FLAGS) === 0 ? [] : [`it asks for flags (${flags}) that no migration of an agent has`]
}

/** Whether a path is that of a file of libvirt or of the packages of firmware. */
export function isOfLibvirt(file: string): boolean {
  return isPlain(file) && OF_LIBVIRT.test(file)
}

/** Whether a path is that of a QEMU: libvirt starts it to see what it can do. */
export function isEmulator(file: string, configured: string | undefined): boolean {
  return file === configured || EMULATOR.test(file)
}

function domainParts(root: XmlElement, limits: GuestLimits): string[] {
  const strange: string[] = []
  const say = (text: string) => void strange.push(text)
  if (root.name !== 'domain') return ['its definition is none']
  if ((root.first('uuid')?.text ?? '').trim().toLowerCase() !== limits.vmId) say('its definition is that of another VM')
  if (root.first('name')?.text !== limits.name) say('its definition has another name')
  for (const child of root.children) if (!MACHINE.has(child.name)) say(`its definition has <${child.name}>`)
  for (const child of root.first('os')?.children ?? [])
    if (!FIRMWARE.has(child.name)) say(`its definition has <${child.name}> in <os>`)
  for (const child of root.first('memoryBacking')?.children ?? [])
    if (!['hugepages', 'nosharepages'].includes(child.name)) say(`its memory is backed by <${child.name}>`)
  for (const label of root.all('seclabel'))
    if ((label.attribute('type') !== 'dynamic' && label.attribute('model') !== 'none') || label.first('baselabel'))
      say('its definition sets how libvirt confines it')
  if (root.all('devices').length !== 1) say('its definition has no single list of devices')
  for (const device of root.first('devices')?.children ?? []) strange.push(...deviceParts(device, limits))
  for (const child of root.children) {
    // The partition of a resource is a group of processes, no file.
    if (['devices', 'metadata', 'name', 'title', 'description', 'resource'].includes(child.name)) continue
    for (const file of filesOf(child)) if (!isOfLibvirt(file)) say(`it uses the file ${file}`)
  }
  return strange
}

function deviceParts(device: XmlElement, limits: GuestLimits): string[] {
  const { name } = device
  const type = device.attribute('type') ?? ''
  if (!DEVICES.has(name)) return [`it has a device <${name}>`]
  const types = DEVICES.get(name)
  if (types !== undefined && !types.includes(type)) return [`it has a device <${name}> of type ${type}`]
  switch (name) {
    case 'emulator':
      return isEmulator(device.text, limits.emulator) ? [] : ['its emulator is none that this host knows']
    case 'channel': {
      const source = device.first('source')
      const file = source?.attribute('path') ?? '/channel/'
      if ((source?.attribute('mode') ?? 'bind') !== 'bind' || !file.includes('/channel/'))
        return ['it has a channel to a socket of this host']
      break
    }
    case 'disk':
      return diskParts(device, limits)
    case 'interface':
      if (nicPlace(device) === undefined) return [`it has a NIC of type ${type}`]
      return ['script', 'downscript', 'backend', 'hostdev']
        .filter((part) => device.first(part) !== undefined)
        .map((part) => `it has a NIC with <${part}>`)
    case 'tpm':
      if (device.first('backend')?.attribute('type') !== 'emulator') return ['its TPM is not an emulated one']
      break
    case 'rng':
      return device.all('backend').every((one) => one.attribute('model') === 'random' && RANDOM.has(one.text))
        ? []
        : ['its random numbers come from something else than this host']
    case 'graphics': {
      const listens = [device, ...device.all('listen')]
        .map((one) => one.attribute(one === device ? 'listen' : 'address'))
        .filter((address) => address !== undefined)
      if (device.all('listen').some((one) => one.attribute('type') !== 'address'))
        return ['its display listens on something else than an address']
      if (listens.some((address) => !LOOPBACK.has(address))) return ['its display is open to the network']
      break
    }
  }
  return filesOf(device)
    .filter((file) => !isOwn(file, limits) && !isOfLibvirt(file) && !(isPlain(file) && TERMINAL.test(file)))
    .map((file) => `its device <${name}> uses the file ${file}`)
}

function diskParts(disk: XmlElement, limits: GuestLimits): string[] {
  const target = disk.first('target')?.attribute('dev') ?? ''
  if (!['disk', 'cdrom'].includes(disk.attribute('device') ?? 'disk'))
    return [`drive ${target} is no disk and no CD-ROM`]
  if (disk.first('mirror') !== undefined) return [`disk ${target} is being copied`]
  const all = elementsOf(disk)
  const kinds = all.filter(({ name }) => ['disk', 'backingStore', 'dataStore'].includes(name))
  if (kinds.some((one) => !['file', 'block', 'network', undefined].includes(one.attribute('type'))))
    return [`disk ${target} is of a kind that this host has none of`]
  const remote = all
    .filter((one) => one.name === 'source' && one.attribute('protocol') !== undefined)
    .map((one) => `${one.attribute('protocol')}:${one.attribute('name') ?? ''}`)
    .filter((place) => !limits.places.has(place))
  // Everything that is named anywhere in it: sockets, files of other kinds.
  const local = filesOf(disk).filter((file) => !limits.places.has(deviceName(file)) && !isOwn(file, limits))
  return [...new Set([...remote, ...local])].map((place) => `disk ${target} uses ${place}`)
}

function elementsOf(element: XmlElement): XmlElement[] {
  return [element, ...element.children.flatMap(elementsOf)]
}

function isOwn(file: string, { directory }: GuestLimits): boolean {
  return isPlain(file) && file.startsWith(`${directory}/`)
}

function isPlain(file: string): boolean {
  return !file.split('/').includes('..')
}

/** Every absolute path in an element. */
function filesOf(element: XmlElement): string[] {
  const own = [...Object.values(element.attributes), element.children.length === 0 ? element.text.trim() : '']
  return [...own.filter((text) => text.startsWith('/')), ...element.children.flatMap(filesOf)]
}
