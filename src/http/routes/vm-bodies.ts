import { z } from 'zod'
import { GIB } from '../../core/bytes.ts'
import type {
  BootDevice,
  CrashPolicy,
  CreateVmRequest,
  DiskBus,
  DiskFormat,
  DiskSpec,
  Firmware,
  NicModel,
  NicSpec,
  VmInfo,
  WatchdogAction,
} from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import { neutralise } from '../../core/wire-text.ts'
import {
  toCreateVmRequest,
  toDiskSpec,
  toNicSpec,
  type DiskDraft,
  type NicDraft,
} from '../../services/create-vm-draft.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { optionalCount, optionalFlag, optionalText, time, toTime, unsigned } from '../schemas.ts'

/** A disk to make or to attach. */
export const diskBody = z.object({
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
})

/** A NIC to make. */
export const nicBody = z.object({
  id: optionalText,
  network: optionalText,
  bridge: optionalText,
  macAddress: optionalText,
  model: optionalText.meta({
    description: 'virtio, e1000, e1000e, rtl8139 or vmxnet3; what suits the guest when not given',
  }),
  bandwidthMbps: optionalCount.meta({ description: 'limit in each direction in megabits per second; 0: none' }),
})

/** A VM to make. Keys beyond the contract: vmId, cpuThreadsPerCore, memoryHugepages, firmware and what follows it, bootOrder, cdroms, labels, and the further keys of disks and NICs. */
export const createVmBody = z.object({
  vmId: optionalText,
  name: z.string(),
  cpuCores: z.int(),
  cpuSockets: optionalCount,
  cpuThreadsPerCore: optionalCount,
  memoryMib: z.int(),
  memoryHugepages: optionalFlag,
  firmware: optionalText.meta({ description: 'bios (default) or uefi' }),
  secureBoot: z.boolean().nullish().meta({ description: 'with uefi; on for Windows unless it is legacy' }),
  tpm: z.boolean().nullish().meta({ description: 'a TPM 2.0; on for Windows with uefi unless it is legacy' }),
  cpuModel: optionalText.meta({ description: 'a CPU model of libvirt, host-model, host-passthrough or maximum' }),
  onCrash: optionalText.meta({
    description: 'when the kernel of the guest gives up: restart (default), destroy or preserve',
  }),
  watchdog: optionalText.meta({
    description: 'a watchdog device and what it does: reset, poweroff or pause; none when not given',
  }),
  console: z
    .object({
      vncPort: optionalCount.meta({ description: 'from 5900 on; 0: any that is free' }),
      vncPassword: optionalText.meta({ description: 'at most 8 characters' }),
      spice: optionalFlag.meta({ description: 'a SPICE server beside VNC, on loopback as well' }),
      spicePort: optionalCount,
    })
    .nullish(),
  bootOrder: z.array(z.string()).nullish(),
  guestOs: optionalText,
  labels: z.record(z.string(), z.string()).nullish(),
  disks: z.array(diskBody).nullish(),
  nics: z.array(nicBody).nullish(),
  cdroms: z.array(z.object({ id: optionalText, isoPath: optionalText, bootable: optionalFlag })).nullish(),
  cloudInit: z
    .object({ userData: optionalText, metaData: optionalText, networkConfig: optionalText, vendorData: optionalText })
    .nullish(),
})

const ON_CRASH: Readonly<Record<string, CrashPolicy>> = { restart: 'restart', destroy: 'destroy', preserve: 'preserve' }
const WATCHDOG: Readonly<Record<string, WatchdogAction | undefined>> = {
  '': undefined,
  none: undefined,
  reset: 'reset',
  poweroff: 'poweroff',
  pause: 'pause',
}
const FIRMWARE: Readonly<Record<string, Firmware>> = { '': 'bios', bios: 'bios', uefi: 'uefi' }
const BOOT_DEVICE: Readonly<Record<string, BootDevice>> = { disk: 'disk', cdrom: 'cdrom', network: 'network' }
const FORMAT: Readonly<Record<string, DiskFormat>> = { '': 'qcow2', qcow2: 'qcow2', raw: 'raw' }
// q35 has no IDE bus, and NVMe is not offered: both are served as SATA.
const BUS: Readonly<Record<string, DiskBus | undefined>> = {
  '': undefined,
  virtio: 'virtio',
  scsi: 'scsi',
  sata: 'sata',
  ide: 'sata',
  nvme: 'sata',
}
const MODEL: Readonly<Record<string, NicModel | undefined>> = {
  '': undefined,
  virtio: 'virtio',
  e1000: 'e1000',
  e1000e: 'e1000e',
  rtl8139: 'rtl8139',
  vmxnet3: 'vmxnet3',
}

/** The body as the request of VmService; words are taken in either case. Errors name the field as in the body. */
export function fromCreateVmBody(body: z.output<typeof createVmBody>): CreateVmRequest {
  return toCreateVmRequest({
    ...body,
    labels: body.labels ?? {},
    firmware: word(body.firmware, 'firmware', FIRMWARE),
    bootOrder: (body.bootOrder ?? []).map((device, i) => word(device, `bootOrder[${i}]`, BOOT_DEVICE)),
    onCrash: body.onCrash === '' ? undefined : word(body.onCrash, 'onCrash', ON_CRASH),
    watchdog: word(body.watchdog, 'watchdog', WATCHDOG),
    secureBoot: body.secureBoot ?? undefined,
    tpm: body.tpm ?? undefined,
    console: body.console ?? undefined,
    disks: (body.disks ?? []).map((disk, i) => toDraft(disk, `disks[${i}]`)),
    nics: (body.nics ?? []).map((nic, i) => toNicDraft(nic, `nics[${i}]`)),
    cdroms: body.cdroms ?? [],
    cloudInit: body.cloudInit ?? undefined,
  })
}

/** The body as the disk to attach. Errors name the field as in the body. */
export function fromDiskBody(body: z.output<typeof diskBody>): DiskSpec {
  return toDiskSpec(toDraft(body, 'disk'), (path) => path.replace(/^disk\./, ''))
}

/** The body as the NIC to add. Errors name the field as in the body. */
export function fromNicBody(body: z.output<typeof nicBody>): NicSpec {
  return toNicSpec(toNicDraft(body, 'nic'), (path) => path.replace(/^nic\./, ''))
}

function toNicDraft(nic: z.output<typeof nicBody>, field: string): NicDraft {
  return { ...nic, model: word(nic.model, `${field}.model`, MODEL) }
}

function toDraft(disk: z.output<typeof diskBody>, field: string): DiskDraft {
  return { ...disk, bus: word(disk.bus, `${field}.bus`, BUS), format: word(disk.format, `${field}.format`, FORMAT) }
}

function word<T>(value: string, field: string, words: Readonly<Record<string, T>>): T {
  return fieldChecks('VM_SPEC_INVALID').oneOf(value.toLowerCase(), field, words)
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
  autostart: z.boolean(),
  cpuCount: unsigned,
  memoryBytes: unsigned,
  labels: z.record(z.string(), z.string()),
  startedAt: time.nullable(),
  observedAt: time,
  problems: z
    .array(
      z.object({
        kind: z.enum(['io-error', 'memory-failure']),
        message: z.string(),
        disk: z.string(),
        since: time,
        lastAt: time,
        count: unsigned,
      }),
    )
    .meta({ description: 'trouble that it has since it was started' }),
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
    autostart: vm.autostart ?? false,
    cpuCount: toUnsigned(vm.cpuCount),
    memoryBytes: toUnsigned(vm.memoryBytes),
    labels: { ...vm.labels },
    startedAt: vm.startedAt === undefined ? null : toTime(vm.startedAt),
    observedAt: toTime(vm.observedAt),
    problems: (vm.problems ?? []).map((problem) => ({
      ...problem,
      message: neutralise(problem.message),
      since: toTime(problem.since),
      lastAt: toTime(problem.lastAt),
      count: toUnsigned(problem.count),
    })),
  }
}
