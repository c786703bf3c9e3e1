import { randomUUID } from 'node:crypto'
import { GIB, MIB } from '../core/bytes.ts'
import { parseId, parseUuid } from '../core/ids.ts'
import type {
  BootDevice,
  CdromSpec,
  CloudInitConfig,
  ConsoleSpec,
  CrashPolicy,
  CreateVmRequest,
  DiskBus,
  DiskFormat,
  DiskSpec,
  Firmware,
  NicModel,
  NicSpec,
  VmSpec,
  WatchdogAction,
} from '../core/model.ts'
import { guestProfile } from '../domains/guest-profiles.ts'
import { fieldChecks, type FieldChecks } from './request-fields.ts'

/** A create request in the units of the wire, with enumerations resolved and nothing checked. Empty texts and zeros mean "not given". */
export interface CreateVmDraft {
  readonly vmId: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Total vCPUs, whatever sockets and threads say. */
  readonly cpuCores: number
  readonly cpuSockets: number
  readonly cpuThreadsPerCore: number
  readonly memoryMib: number
  readonly memoryHugepages: boolean
  readonly firmware: Firmware
  readonly bootOrder: readonly BootDevice[]
  readonly disks: readonly DiskDraft[]
  readonly nics: readonly NicDraft[]
  readonly cdroms: readonly CdromSpec[]
  readonly cloudInit: CloudInitConfig | undefined
  readonly guestOs: string
  /** Absent = as suits the guest. */
  readonly secureBoot?: boolean | undefined
  readonly tpm?: boolean | undefined
  readonly cpuModel?: string | undefined
  readonly onCrash?: CrashPolicy | undefined
  readonly watchdog?: WatchdogAction | undefined
  readonly console?: (ConsoleSpec & { readonly vncPassword: string }) | undefined
}

export interface DiskDraft {
  readonly id: string
  readonly path: string
  readonly sizeGib: number
  /** Absent = as suits the guest, which only a create knows; else virtio. */
  readonly bus: DiskBus | undefined
  readonly format: DiskFormat
  readonly readonly: boolean
  readonly bootable: boolean
  readonly iopsLimit: number
  readonly throughputMbps: number
  readonly backingFile: string
  readonly poolId: string
}

export interface NicDraft {
  readonly id: string
  readonly macAddress: string
  readonly bridge: string
  readonly network: string
  /** Absent: as the bus of a disk. */
  readonly model: NicModel | undefined
  readonly bandwidthMbps?: number | undefined
}

const MAX_VCPUS = 4096
const MAX_MEMORY_MIB = 64 * 1024 * 1024
const MIN_MEMORY_MIB = 16
const MAX_DISK_GIB = 1024 * 1024
const MAX_DEVICES = 256
const MAX_DOCUMENT_BYTES = MIB
const PATH_BYTES = 4095
const NIL_UUID = '00000000-0000-0000-0000-000000000000'

/**
 * Checks a draft and turns it into the request of VmService: bytes, ids for what has none, a CPU topology that multiplies to the total, an explicit
 * boot order. `nameOf` turns a path such as `disks[0].sizeGib` into the caller's name for the field. Errors: VM_SPEC_INVALID, INVALID_REQUEST,
 * INVALID_NAME, each naming the field.
 */
export function toCreateVmRequest(draft: CreateVmDraft, nameOf?: (path: string) => string): CreateVmRequest {
  const check = fieldChecks('VM_SPEC_INVALID', nameOf)
  const name = nameOf ?? ((path) => path)
  const list = <T, R>(items: readonly T[], field: string, map: (item: T, path: string, index: number) => R): R[] => {
    check.integer(items.length, `${field}.length`, { max: MAX_DEVICES })
    return items.map((item, index) => map(item, `${field}[${index}]`, index))
  }
  const vmId = draft.vmId === '' ? randomUUID() : parseUuid(draft.vmId, name('vmId'))
  if (vmId === NIL_UUID) check.fail('vmId', 'the nil UUID does not name a VM')
  const { diskBus, nicModel } = guestProfile(draft.guestOs)
  const disks = list(draft.disks, 'disks', ({ bus = diskBus, ...disk }, path, index) =>
    checkDisk({ ...disk, bus }, path, index, check, name),
  )
  const nics = list(draft.nics, 'nics', ({ model = nicModel, ...nic }, path, index) =>
    checkNic({ ...nic, model }, path, index, check, name),
  )
  const cdroms = list(draft.cdroms, 'cdroms', (cdrom, path, index) => ({
    id: parseId(cdrom.id || `cdrom${index}`, name(`${path}.id`)),
    isoPath: check.text(cdrom.isoPath, `${path}.isoPath`, { maxBytes: PATH_BYTES }),
    bootable: cdrom.bootable,
  }))
  for (const [field, items] of Object.entries({ disks, nics, cdroms })) checkDistinct(items, field, check)
  const cloudInit = checkCloudInit(draft.cloudInit, check)
  return {
    vmId,
    name: checkVmName(draft.name, check),
    labels: checkLabels(draft.labels, check),
    spec: {
      ...checkCpu(draft, check),
      memoryBytes: check.integer(draft.memoryMib, 'memoryMib', { min: MIN_MEMORY_MIB, max: MAX_MEMORY_MIB }) * MIB,
      hugepages: draft.memoryHugepages,
      firmware: draft.firmware,
      ...machineWishes(draft, check),
      bootOrder: resolveBootOrder(draft.bootOrder, cdroms),
      disks,
      nics,
      cdroms,
      ...(cloudInit === undefined ? {} : { cloudInit }),
      guestOs: check.text(draft.guestOs, 'guestOs', { maxBytes: 64 }),
    },
  }
}

/** Checks a draft of one disk to attach, as `toCreateVmRequest` does its disks; one without an id gets a new one. Errors: VM_SPEC_INVALID, INVALID_NAME, naming the field. */
export function toDiskSpec(draft: DiskDraft, nameOf: (path: string) => string = (path) => path): DiskSpec {
  const id = draft.id === '' ? `disk-${randomUUID().slice(0, 8)}` : draft.id
  return checkDisk({ ...draft, id }, 'disk', 0, fieldChecks('VM_SPEC_INVALID', nameOf), nameOf)
}

/** As `toDiskSpec`, of a NIC. */
export function toNicSpec(draft: NicDraft, nameOf: (path: string) => string = (path) => path): NicSpec {
  const id = draft.id === '' ? `nic-${randomUUID().slice(0, 8)}` : draft.id
  return checkNic({ ...draft, id }, 'nic', 0, fieldChecks('VM_SPEC_INVALID', nameOf), nameOf)
}

// Domain names become file names of libvirt, so the rules of a file name hold on top of those of text.
function checkVmName(name: string, check: FieldChecks): string {
  check.text(name, 'name', { maxBytes: 128, required: true })
  if (name.includes('/') || name.startsWith('.') || name.trim() !== name) {
    check.fail('name', `${JSON.stringify(name)} must not have a slash, a leading dot or surrounding blanks`)
  }
  return name
}

function checkLabels(labels: Readonly<Record<string, string>>, check: FieldChecks): Record<string, string> {
  const entries = Object.entries(labels)
  check.integer(entries.length, 'labels.length', { max: MAX_DEVICES })
  for (const [key, value] of entries) {
    check.text(key, 'labels', { maxBytes: 256, required: true })
    check.text(value, `labels[${JSON.stringify(key)}]`, { maxBytes: 4096, multiline: true })
  }
  return Object.fromEntries(entries)
}

// What the guest's profile decides is decided here, so that the request that is kept says what the VM has.
function machineWishes(
  { firmware, guestOs, secureBoot, tpm, cpuModel, onCrash, watchdog, console }: CreateVmDraft,
  check: FieldChecks,
): Partial<VmSpec> {
  const trusted = firmware === 'uefi' && guestProfile(guestOs).trusted
  const { vncPassword = '', ...displays } = console ?? {}
  const ports = { vncPort: 0, spice: false, spicePort: 0, ...displays }
  return {
    ...((secureBoot ?? trusted) ? { secureBoot: true } : {}),
    ...((tpm ?? trusted) ? { tpm: true } : {}),
    ...(cpuModel ? { cpuModel: check.text(cpuModel, 'cpuModel', { maxBytes: 64 }) } : {}),
    ...(onCrash === undefined || onCrash === 'restart' ? {} : { onCrash }),
    ...(watchdog === undefined ? {} : { watchdog }),
    ...(ports.vncPort || ports.spice || ports.spicePort ? { console: ports } : {}),
    ...(vncPassword === '' ? {} : { vncPassword }),
  }
}

// cpuCores is the total. Wizards send sockets along with a total, so sockets and threads only shape it and never multiply it.
function checkCpu(
  draft: CreateVmDraft,
  check: FieldChecks,
): { cpuCores: number; cpuSockets: number; cpuThreadsPerCore: number } {
  const cpuCores = check.integer(draft.cpuCores, 'cpuCores', { min: 1, max: MAX_VCPUS })
  const cpuSockets = check.integer(draft.cpuSockets, 'cpuSockets', { max: MAX_VCPUS }) || 1
  const cpuThreadsPerCore = check.integer(draft.cpuThreadsPerCore, 'cpuThreadsPerCore', { max: MAX_VCPUS }) || 1
  return cpuCores % (cpuSockets * cpuThreadsPerCore) === 0
    ? { cpuCores, cpuSockets, cpuThreadsPerCore }
    : { cpuCores, cpuSockets: 1, cpuThreadsPerCore: 1 }
}

function checkDisk(
  disk: DiskDraft,
  path: string,
  index: number,
  check: FieldChecks,
  name: (path: string) => string,
): DiskSpec {
  // A volume that is neither attached nor an overlay has no other source of its size.
  const min = disk.path === '' && disk.backingFile === '' ? 1 : 0
  return {
    id: parseId(disk.id || `disk${index}`, name(`${path}.id`)),
    path: check.text(disk.path, `${path}.path`, { maxBytes: PATH_BYTES }),
    sizeBytes: check.integer(disk.sizeGib, `${path}.sizeGib`, { min, max: MAX_DISK_GIB }) * GIB,
    bus: disk.bus ?? 'virtio',
    format: disk.format,
    readonly: disk.readonly,
    bootable: disk.bootable,
    iopsLimit: check.integer(disk.iopsLimit, `${path}.iopsLimit`, {}),
    throughputMbps: check.integer(disk.throughputMbps, `${path}.throughputMbps`, { max: 1_000_000_000 }),
    backingFile: check.text(disk.backingFile, `${path}.backingFile`, { maxBytes: PATH_BYTES }),
    poolId: disk.poolId === '' ? '' : parseId(disk.poolId, name(`${path}.poolId`)),
  }
}

function checkNic(
  nic: NicDraft,
  path: string,
  index: number,
  check: FieldChecks,
  name: (path: string) => string,
): NicSpec {
  if (nic.macAddress !== '' && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(nic.macAddress)) {
    check.fail(`${path}.macAddress`, `${JSON.stringify(nic.macAddress.slice(0, 40))} is not a MAC address`)
  }
  return {
    id: parseId(nic.id || `nic${index}`, name(`${path}.id`)),
    macAddress: nic.macAddress.toLowerCase(),
    bridge: check.text(nic.bridge, `${path}.bridge`, { maxBytes: 15 }),
    network: check.text(nic.network, `${path}.network`, { maxBytes: 255 }),
    model: nic.model ?? 'virtio',
    ...(nic.bandwidthMbps ? { bandwidthMbps: check.integer(nic.bandwidthMbps, `${path}.bandwidthMbps`, {}) } : {}),
  }
}

function checkDistinct(items: readonly { readonly id: string }[], field: string, check: FieldChecks): void {
  const seen = new Set<string>()
  for (const [index, { id }] of items.entries()) {
    if (seen.has(id)) check.fail(`${field}[${index}].id`, `${JSON.stringify(id)} is used twice`)
    seen.add(id)
  }
}

function checkCloudInit(config: CloudInitConfig | undefined, check: FieldChecks): CloudInitConfig | undefined {
  if (config === undefined) return undefined
  const document = (key: keyof CloudInitConfig): string => {
    const text = config[key]
    // Never quoted in an error: documents carry secrets.
    if (Buffer.byteLength(text) > MAX_DOCUMENT_BYTES)
      check.fail(`cloudInit.${key}`, `is longer than ${MAX_DOCUMENT_BYTES} bytes`)
    if (!text.isWellFormed() || text.includes('\0')) check.fail(`cloudInit.${key}`, 'has a NUL or is not valid Unicode')
    return text
  }
  const documents = {
    userData: document('userData'),
    metaData: document('metaData'),
    networkConfig: document('networkConfig'),
    vendorData: document('vendorData'),
  }
  return Object.values(documents).every((text) => text === '') ? undefined : documents
}

// Nothing asked: disk, cdrom, network, with a bootable CD-ROM in front, which is how an installer is meant to come up.
function resolveBootOrder(asked: readonly BootDevice[], cdroms: readonly CdromSpec[]): BootDevice[] {
  if (asked.length > 0) return [...new Set(asked)]
  return cdroms.some((cdrom) => cdrom.bootable) ? ['cdrom', 'disk', 'network'] : ['disk', 'cdrom', 'network']
}
