import { z } from 'zod'
import { GIB } from '../../core/bytes.ts'
import type { BootDevice, CreateVmRequest, DiskBus, DiskFormat, Firmware, NicModel, VmInfo } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import { toCreateVmRequest } from '../../services/create-vm-draft.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { optionalCount, optionalFlag, optionalText, time, toTime, unsigned } from '../schemas.ts'

/** A VM to make. Keys beyond the contract: vmId, cpuThreadsPerCore, memoryHugepages, firmware, bootOrder, cdroms, labels, and the further keys of disks. */
export const createVmBody = z.object({
  vmId: optionalText,
  name: z.string(),
  cpuCores: z.int(),
  cpuSockets: optionalCount,
  cpuThreadsPerCore: optionalCount,
  memoryMib: z.int(),
  memoryHugepages: optionalFlag,
  firmware: optionalText.meta({ description: 'bios (default) or uefi' }),
  bootOrder: z.array(z.string()).nullish(),
  guestOs: optionalText,
  labels: z.record(z.string(), z.string()).nullish(),
  disks: z
    .array(
      z.object({
        id: optionalText,
        path: optionalText,
        sizeGib: optionalCount,
        bus: optionalText,
        format: optionalText,
        readonly: optionalFlag,
        bootable: optionalFlag,
        backingFile: optionalText,
        poolId: optionalText,
        iopsLimit: optionalCount,
        throughputMbps: optionalCount,
      }),
    )
    .nullish(),
  nics: z
    .array(
      z.object({
        id: optionalText,
        network: optionalText,
        bridge: optionalText,
        macAddress: optionalText,
        model: optionalText,
      }),
    )
    .nullish(),
  cdroms: z.array(z.object({ id: optionalText, isoPath: optionalText, bootable: optionalFlag })).nullish(),
  cloudInit: z
    .object({ userData: optionalText, metaData: optionalText, networkConfig: optionalText, vendorData: optionalText })
    .nullish(),
})

const FIRMWARE: Readonly<Record<string, Firmware>> = { '': 'bios', bios: 'bios', uefi: 'uefi' }
const BOOT_DEVICE: Readonly<Record<string, BootDevice>> = { disk: 'disk', cdrom: 'cdrom', network: 'network' }
const FORMAT: Readonly<Record<string, DiskFormat>> = { '': 'qcow2', qcow2: 'qcow2', raw: 'raw' }
// q35 has no IDE bus, and NVMe is not offered: both are served as SATA.
const BUS: Readonly<Record<string, DiskBus>> = {
  '': 'virtio',
  virtio: 'virtio',
  scsi: 'scsi',
  sata: 'sata',
  ide: 'sata',
  nvme: 'sata',
}
const MODEL: Readonly<Record<string, NicModel>> = {
  '': 'virtio',
  virtio: 'virtio',
  e1000: 'e1000',
  e1000e: 'e1000e',
  rtl8139: 'rtl8139',
  vmxnet3: 'vmxnet3',
}

/** The body as the request of VmService; words are taken in either case. Errors name the field as in the body. */
export function fromCreateVmBody(body: z.output<typeof createVmBody>): CreateVmRequest {
  const check = fieldChecks('VM_SPEC_INVALID')
  const word = <T>(value: string, field: string, words: Readonly<Record<string, T>>) =>
    check.oneOf(value.toLowerCase(), field, words)
  return toCreateVmRequest({
    ...body,
    labels: body.labels ?? {},
    firmware: word(body.firmware, 'firmware', FIRMWARE),
    bootOrder: (body.bootOrder ?? []).map((device, i) => word(device, `bootOrder[${i}]`, BOOT_DEVICE)),
    disks: (body.disks ?? []).map((disk, i) => ({
      ...disk,
      bus: word(disk.bus, `disks[${i}].bus`, BUS),
      format: word(disk.format, `disks[${i}].format`, FORMAT),
    })),
    nics: (body.nics ?? []).map((nic, i) => ({ ...nic, model: word(nic.model, `nics[${i}].model`, MODEL) })),
    cdroms: body.cdroms ?? [],
    cloudInit: body.cloudInit ?? undefined,
  })
}

/** A VM in an answer. */
export const vmBody = z.object({
  vmId: z.string(),
  name: z.string(),
  state: z.enum(['UNKNOWN', 'RUNNING', 'STOPPED', 'PAUSED', 'SUSPENDED', 'CRASHED']),
  cpuUsagePercent: z.number(),
  memoryUsedBytes: unsigned,
  memoryTotalBytes: unsigned,
  disks: z.array(
    z.object({
      id: z.string(),
      path: z.string(),
      sizeGib: unsigned,
      sizeBytes: unsigned,
      targetDev: z.string(),
      bus: z.string(),
      format: z.string(),
      readonly: z.boolean(),
      bootable: z.boolean(),
    }),
  ),
  managed: z.boolean(),
  cpuCount: unsigned,
  memoryBytes: unsigned,
  labels: z.record(z.string(), z.string()),
  startedAt: time.nullable(),
  observedAt: time,
})

/** A VM as GET /vms answers it; usage is 0 while it is off. */
export function toVmBody(vm: VmInfo): z.input<typeof vmBody> {
  return {
    vmId: vm.vmId,
    name: vm.name,
    state: vm.state,
    cpuUsagePercent: vm.usage?.cpuUsagePercent ?? 0,
    memoryUsedBytes: toUnsigned(vm.usage?.memoryUsedBytes ?? 0),
    memoryTotalBytes: toUnsigned(vm.usage?.memoryTotalBytes ?? vm.memoryBytes),
    disks: vm.disks.map(({ id, path, sizeBytes, targetDev, bus, format, readonly, bootable }) => ({
      id,
      path,
      sizeGib: Math.ceil(toUnsigned(sizeBytes) / GIB),
      sizeBytes: toUnsigned(sizeBytes),
      targetDev,
      bus,
      format,
      readonly,
      bootable,
    })),
    managed: vm.managed,
    cpuCount: toUnsigned(vm.cpuCount),
    memoryBytes: toUnsigned(vm.memoryBytes),
    labels: { ...vm.labels },
    startedAt: vm.startedAt === undefined ? null : toTime(vm.startedAt),
    observedAt: toTime(vm.observedAt),
  }
}
