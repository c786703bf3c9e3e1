import type {
  BootDevice,
  CreateVmRequest,
  DiskBus,
  DiskFormat,
  DiskSpec,
  Firmware,
  NicModel,
  NicSpec,
  VmInfo,
} from '../core/model.ts'
import { AgentError } from '../core/errors.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { toCreateVmRequest, toDiskSpec, toNicSpec, type DiskDraft, type NicDraft } from '../services/create-vm-draft.ts'
import { fieldChecks } from '../services/request-fields.ts'
import type { CreateVMOnNodeRequest__Output } from './gen/limiquantix/node/v1/CreateVMOnNodeRequest.ts'
import type { ConsoleSpec__Output } from './gen/limiquantix/node/v1/ConsoleSpec.ts'
import type { DiskSpec__Output } from './gen/limiquantix/node/v1/DiskSpec.ts'
import type { NicSpec__Output } from './gen/limiquantix/node/v1/NicSpec.ts'
import { PowerState } from './gen/limiquantix/node/v1/PowerState.ts'
import type { VMStatusResponse } from './gen/limiquantix/node/v1/VMStatusResponse.ts'
import { toTimestamp } from './wire-values.ts'

const FIRMWARE: Readonly<Record<number, Firmware>> = { 0: 'bios', 1: 'uefi' }
const BOOT_DEVICE: Readonly<Record<number, BootDevice>> = { 0: 'disk', 1: 'cdrom', 2: 'network' }
const DISK_FORMAT: Readonly<Record<number, DiskFormat>> = { 0: 'qcow2', 1: 'raw' }

// Control planes cast their own bus enumeration (3 = SATA, 4 = IDE, 2 = NVMe or SATA) into ours. q35 has no IDE, so all of these are SATA.
const DISK_BUS: Readonly<Record<number, DiskBus>> = { 0: 'virtio', 1: 'scsi' }
// The same cast for NICs: 2 is their E1000E and 3 their VMXNET3. Nobody sends a real RTL8139.
const NIC_MODEL: Readonly<Record<number, NicModel>> = { 0: 'virtio', 1: 'e1000', 2: 'e1000e', 3: 'vmxnet3' }

/** A CreateVM message as the request of VmService. Errors name the proto field. */
export function fromCreateVmMessage(message: CreateVMOnNodeRequest__Output): CreateVmRequest {
  const { spec } = message
  if (spec === null) throw new AgentError('INVALID_REQUEST', 'spec: must be given')
  const check = fieldChecks('VM_SPEC_INVALID', protoFieldName)
  return toCreateVmRequest(
    {
      vmId: message.vmId,
      name: message.name,
      labels: message.labels,
      cpuCores: spec.cpuCores,
      cpuSockets: spec.cpuSockets,
      cpuThreadsPerCore: spec.cpuThreadsPerCore,
      memoryMib: spec.memoryMib,
      memoryHugepages: spec.memoryHugepages,
      firmware: check.oneOf(spec.firmware, 'firmware', FIRMWARE),
      bootOrder: spec.bootOrder.map((device, index) => check.oneOf(device, `bootOrder[${index}]`, BOOT_DEVICE)),
      disks: spec.disks.map((disk, index) =>
        fromDisk(disk, check.oneOf(disk.format, `disks[${index}].format`, DISK_FORMAT)),
      ),
      nics: spec.nics.map(fromNic),
      cdroms: spec.cdroms,
      cloudInit: spec.cloudInit ?? undefined,
      guestOs: spec.guestOs,
      // VNC is always there, whatever vnc_enabled says: control planes leave it out and ask for a console all the same (contract 1.4).
      console: spec.console === null ? undefined : fromConsole(spec.console),
    },
    protoFieldName,
  )
}

/** The disk of an AttachDisk message. Errors name the proto field. */
export function fromDiskMessage(disk: DiskSpec__Output | null): DiskSpec {
  if (disk === null) throw new AgentError('INVALID_REQUEST', 'disk: must be given')
  const format = fieldChecks('VM_SPEC_INVALID').oneOf(disk.format, 'disk.format', DISK_FORMAT)
  return toDiskSpec(fromDisk(disk, format), snakeCase)
}

/** The NIC of an AttachNIC message. Errors name the proto field. */
export function fromNicMessage(nic: NicSpec__Output | null): NicSpec {
  if (nic === null) throw new AgentError('INVALID_REQUEST', 'nic: must be given')
  return toNicSpec(fromNic(nic), snakeCase)
}

function fromConsole({ vncPort, vncPassword, spiceEnabled, spicePort }: ConsoleSpec__Output) {
  return { vncPort, vncPassword, spice: spiceEnabled, spicePort }
}

function fromNic(nic: NicSpec__Output): NicDraft {
  return { ...nic, model: NIC_MODEL[nic.model] ?? 'virtio' }
}

function fromDisk(disk: DiskSpec__Output, format: DiskFormat): DiskDraft {
  return { ...disk, bus: DISK_BUS[disk.bus] ?? 'sata', format }
}

// `disks[0].sizeGib` -> `spec.disks[0].size_gib`
function protoFieldName(path: string): string {
  if (path.startsWith('labels')) return path
  const snake = snakeCase(path)
  return path === 'vmId' || path === 'name' ? snake : `spec.${snake}`
}

function snakeCase(path: string): string {
  return path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** A VM as GetVMStatus and ListVMs answer it. */
export function toVmMessage(vm: VmInfo): VMStatusResponse {
  const { usage } = vm
  return {
    vmId: vm.vmId,
    name: vm.name,
    state: PowerState[`POWER_STATE_${vm.state}`],
    ...(usage === undefined
      ? {}
      : {
          resourceUsage: {
            cpuUsagePercent: usage.cpuUsagePercent,
            cpuTimeNs: toUnsigned(usage.cpuTimeNs),
            memoryUsedBytes: toUnsigned(usage.memoryUsedBytes),
            memoryTotalBytes: toUnsigned(usage.memoryTotalBytes),
            diskReadBytes: toUnsigned(usage.diskReadBytes),
            diskWriteBytes: toUnsigned(usage.diskWriteBytes),
            networkRxBytes: toUnsigned(usage.networkRxBytes),
            networkTxBytes: toUnsigned(usage.networkTxBytes),
            observedAt: toTimestamp(usage.observedAt),
          },
        }),
    ...(vm.startedAt === undefined ? {} : { startedAt: toTimestamp(vm.startedAt) }),
    managed: vm.managed,
    cpuCount: toUnsigned(vm.cpuCount),
    memoryBytes: toUnsigned(vm.memoryBytes),
    labels: { ...vm.labels },
    disks: vm.disks.map((disk) => ({ ...disk, sizeBytes: toUnsigned(disk.sizeBytes) })),
    observedAt: toTimestamp(vm.observedAt),
  }
}
