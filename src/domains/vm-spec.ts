import { GIB, KIB, MIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import { parseId, parseUuid, quote } from '../core/ids.ts'
import type { CdromSpec, CreateVmRequest, DiskSpec, NicSpec, VmSpec } from '../core/model.ts'
import { parseAbsolutePath } from '../platform/files.ts'
import { parseVolumeName } from '../storage/volume-name.ts'
import type { CpuTopology } from './definition.ts'
import { guestProfile } from './guest-profiles.ts'
import { derivedMac, diskVolumeName, parseVmName } from './names.ts'
import { isXmlText } from '../libvirt/xml-node.ts'

const MAX_VCPUS = 1024
const MIN_MEMORY = 16 * MIB
const MAX_MEMORY = 64 * 1024 * GIB
const MAX_DISK = 64 * 1024 * GIB
const MAX_DEVICES = 64
const MAX_LABEL_BYTES = 64 * KIB
/** What tc(8) can count. */
const MAX_BANDWIDTH_MBPS = 1_000_000
/** Display 0; QEMU counts from there. */
const FIRST_VNC_PORT = 5900
/** The protocol uses no more than eight bytes. */
const VNC_PASSWORD = /^[ -~]{1,8}$/
const CPU_MODEL = /^[A-Za-z0-9_.+-]{0,64}$/
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/
/** Networks and bridges: what libvirt and the kernel can name. */
const NETWORK_NAME = /^[^\p{Cc}/\s][^\p{Cc}/]{0,127}$/u
const BRIDGE_NAME = /^[A-Za-z0-9_.:-]{1,15}$/

/** Id of the CD-ROM drive with the cloud-init seed. */
export const SEED_ID = 'cloud-init'

/**
 * Checks everything about a request that can be known without looking at the host, and fills in what was left out: ids by position, MAC addresses derived from the
 * VM's id. Errors: VM_SPEC_INVALID, INVALID_NAME, INVALID_REQUEST, INVALID_PATH, each naming the field.
 */
export function checkRequest(request: CreateVmRequest): CreateVmRequest {
  const vmId = parseUuid(request.vmId, 'vm_id')
  const name = parseVmName(request.name)
  checkLabels(request.labels)
  const { spec } = request
  checkNumber('cpu_cores', spec.cpuCores, 1, MAX_VCPUS)
  checkNumber('cpu_sockets', spec.cpuSockets, 0, MAX_VCPUS)
  checkNumber('cpu_threads_per_core', spec.cpuThreadsPerCore, 0, MAX_VCPUS)
  checkNumber('memory', spec.memoryBytes, MIN_MEMORY, MAX_MEMORY)
  checkMachine(spec)
  for (const [field, list] of [
    ['disks', spec.disks],
    ['nics', spec.nics],
    ['cdroms', spec.cdroms],
  ] as const) {
    if (list.length > MAX_DEVICES) throw invalid(field, `more than ${MAX_DEVICES} are not supported`)
  }
  const checked: VmSpec = {
    ...spec,
    disks: spec.disks.map((disk, index) =>
      checkDisk({ ...disk, id: disk.id || `disk${index}` }, `disks[${index}]`, { vmId, name }),
    ),
    nics: (spec.nics.length === 0 ? [{ ...DEFAULT_NIC, model: guestProfile(spec.guestOs).nicModel }] : spec.nics).map(
      (nic, index) => checkNic({ ...nic, id: nic.id || `nic${index}` }, `nics[${index}]`, vmId),
    ),
    cdroms: spec.cdroms.map(checkCdrom),
  }
  refuseTwins(
    'disks',
    [...checked.disks, ...checked.cdroms].map((device) => device.id),
  )
  // One file under two disks is written by two: libvirt would define it, and its content be lost.
  refuseTwins(
    'disks.path',
    checked.disks
      .filter(({ path }) => path !== '')
      .map(({ path, poolId }) => (path.startsWith('/') ? path : `${poolId}:${path}`)),
  )
  refuseTwins(
    'nics',
    checked.nics.map((nic) => nic.id),
  )
  refuseTwins(
    'nics.mac_address',
    checked.nics.map((nic) => nic.macAddress),
  )
  return { vmId, name, spec: checked, labels: request.labels }
}

// Contract 1.4: a VM without NICs gets one on libvirt's default network, of a model that its guest has a driver for.
const DEFAULT_NIC: Omit<NicSpec, 'model'> = { id: '', macAddress: '', bridge: '', network: '' }

/** The CPU topology: `cpuCores` is the total, whatever the rest says. Numbers that do not divide it give one socket with all cores. */
export function topologyOf(spec: VmSpec): CpuTopology {
  const sockets = Math.max(1, spec.cpuSockets)
  const threads = Math.max(1, spec.cpuThreadsPerCore)
  const cores = spec.cpuCores / (sockets * threads)
  return Number.isInteger(cores) ? { sockets, cores, threads } : { sockets: 1, cores: spec.cpuCores, threads: 1 }
}

/** Checks one disk of a request, as `checkRequest` does; `field` is its place there, and its id has to be given. */
export function checkDisk(disk: DiskSpec, field: string, vm: { vmId: string; name: string }): DiskSpec {
  const id = parseId(disk.id, `${field}.id`)
  if (id === SEED_ID) throw invalid(`${field}.id`, `"${SEED_ID}" is the name of the seed drive; choose another one`)
  parseVolumeName(diskVolumeName(vm, id))
  if (disk.poolId !== '') parseId(disk.poolId, `${field}.pool_id`)
  checkNumber(`${field}.iops_limit`, disk.iopsLimit, 0, Number.MAX_SAFE_INTEGER)
  checkNumber(`${field}.throughput_mbps`, disk.throughputMbps, 0, 1e9)
  checkNumber(`${field}.size`, disk.sizeBytes, 0, MAX_DISK)
  if (disk.readonly && disk.bus === 'sata')
    throw invalid(`${field}.readonly`, 'SATA disks cannot be read-only; use virtio or scsi')
  if (disk.path !== '') {
    if (disk.backingFile !== '') throw invalid(field, 'path and backing_file exclude each other')
    const path = disk.path.startsWith('/') ? parseAbsolutePath(disk.path, `${field}.path`) : disk.path
    if (path === disk.path && !path.startsWith('/')) parseVolumeName(path)
    return { ...disk, id, path }
  }
  if (disk.backingFile !== '') {
    return { ...disk, id, backingFile: parseAbsolutePath(disk.backingFile, `${field}.backing_file`) }
  }
  if (disk.sizeBytes === 0) throw invalid(`${field}.size`, 'a new disk needs a size')
  return { ...disk, id }
}

/** Checks one NIC of a request, as `checkRequest` does; `field` is its place there, and its id has to be given. */
export function checkNic(nic: NicSpec, field: string, vmId: string): NicSpec {
  const id = parseId(nic.id, `${field}.id`)
  const macAddress = nic.macAddress === '' ? derivedMac(vmId, id) : nic.macAddress.toLowerCase()
  if (!MAC.test(macAddress) || parseInt(macAddress.slice(0, 2), 16) % 2 === 1) {
    throw invalid(`${field}.mac_address`, `${quote(nic.macAddress)} is not a unicast MAC address`)
  }
  if (nic.bridge !== '' && !BRIDGE_NAME.test(nic.bridge)) {
    throw invalid(`${field}.bridge`, `${quote(nic.bridge)} is not the name of a network interface`)
  }
  if (nic.network !== '' && !(NETWORK_NAME.test(nic.network) && isXmlText(nic.network))) {
    throw invalid(`${field}.network`, `${quote(nic.network)} cannot be the name of a network`)
  }
  checkNumber(`${field}.bandwidth_mbps`, nic.bandwidthMbps ?? 0, 0, MAX_BANDWIDTH_MBPS)
  return { ...nic, id, macAddress }
}

function checkMachine({ firmware, secureBoot, cpuModel, console, vncPassword }: VmSpec): void {
  if (secureBoot === true && firmware !== 'uefi') throw invalid('secure_boot', 'there is none with BIOS; ask for UEFI')
  if (cpuModel !== undefined && !CPU_MODEL.test(cpuModel))
    throw invalid('cpu_model', `${quote(cpuModel)} cannot be the name of a CPU model`)
  if (console !== undefined && console.vncPort !== 0)
    checkNumber('console.vnc_port', console.vncPort, FIRST_VNC_PORT, 65_535)
  if (console !== undefined && console.spicePort !== 0)
    checkNumber('console.spice_port', console.spicePort, 1024, 65_535)
  if (console !== undefined && console.vncPort !== 0 && console.vncPort === console.spicePort)
    throw invalid('console.spice_port', 'it is that of VNC')
  // Never quoted: it is a secret.
  if (vncPassword !== undefined && !VNC_PASSWORD.test(vncPassword))
    throw invalid('console.vnc_password', 'VNC passwords have 1 to 8 printable ASCII characters')
}

function checkCdrom(cdrom: CdromSpec, index: number): CdromSpec {
  const field = `cdroms[${index}]`
  const id = cdrom.id === '' ? `cdrom${index}` : parseId(cdrom.id, `${field}.id`)
  if (id === SEED_ID) throw invalid(`${field}.id`, `"${SEED_ID}" is the name of the seed drive; choose another one`)
  const absolute = cdrom.isoPath.startsWith('/')
  return { ...cdrom, id, isoPath: absolute ? parseAbsolutePath(cdrom.isoPath, `${field}.iso_path`) : cdrom.isoPath }
}

function checkLabels(labels: Readonly<Record<string, string>>): void {
  let bytes = 0
  for (const [name, value] of Object.entries(labels)) {
    if (!isXmlText(name) || !isXmlText(value))
      throw invalid('labels', `${quote(name)} has characters that cannot be stored`)
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  }
  if (bytes > MAX_LABEL_BYTES) throw invalid('labels', 'they are larger than 64 KiB together')
}

function checkNumber(field: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw invalid(field, `${value} is not between ${min} and ${max}`)
}

function refuseTwins(field: string, values: readonly string[]): void {
  const twin = values.find((value, index) => values.indexOf(value) !== index)
  if (twin !== undefined) throw invalid(field, `${quote(twin)} is given twice`)
}

function invalid(field: string, why: string): AgentError {
  return new AgentError('VM_SPEC_INVALID', `spec.${field}: ${why}`, { details: { field } })
}
