import { GIB, KIB, MIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import { parseId, parseUuid, quote } from '../core/ids.ts'
import type { CdromSpec, CreateVmRequest, DiskSpec, NicSpec, VmSpec } from '../core/model.ts'
import { parseAbsolutePath } from '../platform/files.ts'
import { parseVolumeName } from '../storage/volume-name.ts'
import type { CpuTopology } from './definition.ts'
import { derivedMac, diskVolumeName, parseVmName } from './names.ts'
import { isXmlText } from './xml-node.ts'

const MAX_VCPUS = 1024
const MIN_MEMORY = 16 * MIB
const MAX_MEMORY = 64 * 1024 * GIB
const MAX_DISK = 64 * 1024 * GIB
const MAX_DEVICES = 64
const MAX_LABEL_BYTES = 64 * KIB
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
  for (const [field, list] of [
    ['disks', spec.disks],
    ['nics', spec.nics],
    ['cdroms', spec.cdroms],
  ] as const) {
    if (list.length > MAX_DEVICES) throw invalid(field, `more than ${MAX_DEVICES} are not supported`)
  }
  const checked: VmSpec = {
    ...spec,
    disks: spec.disks.map((disk, index) => checkDisk(disk, index, { vmId, name })),
    nics: (spec.nics.length === 0 ? [DEFAULT_NIC] : spec.nics).map((nic, index) => checkNic(nic, index, vmId)),
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

// Contract 1.4: a VM without NICs gets one on libvirt's default network.
const DEFAULT_NIC: NicSpec = { id: '', macAddress: '', bridge: '', network: '', model: 'virtio' }

/** The CPU topology: `cpuCores` is the total, whatever the rest says. Numbers that do not divide it give one socket with all cores. */
export function topologyOf(spec: VmSpec): CpuTopology {
  const sockets = Math.max(1, spec.cpuSockets)
  const threads = Math.max(1, spec.cpuThreadsPerCore)
  const cores = spec.cpuCores / (sockets * threads)
  return Number.isInteger(cores) ? { sockets, cores, threads } : { sockets: 1, cores: spec.cpuCores, threads: 1 }
}

function checkDisk(disk: DiskSpec, index: number, vm: { vmId: string; name: string }): DiskSpec {
  const field = `disks[${index}]`
  const id = parseId(disk.id === '' ? `disk${index}` : disk.id, `${field}.id`)
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
    if (disk.format !== 'qcow2') throw invalid(`${field}.format`, 'a disk on a backing image has to be qcow2')
    return { ...disk, id, backingFile: parseAbsolutePath(disk.backingFile, `${field}.backing_file`) }
  }
  if (disk.sizeBytes === 0) throw invalid(`${field}.size`, 'a new disk needs a size')
  return { ...disk, id }
}

function checkNic(nic: NicSpec, index: number, vmId: string): NicSpec {
  const field = `nics[${index}]`
  const id = nic.id === '' ? `nic${index}` : parseId(nic.id, `${field}.id`)
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
  return { ...nic, id, macAddress }
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
