import { silentLogger } from '../core/context.ts'
import { parseId, parseUuid } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { DiskAttacher } from '../domains/attach-disk.ts'
import type { DeviceDetacher } from '../domains/detach-device.ts'
import type { DiskResizer } from '../domains/disk-resize.ts'
import { setDiskMark } from '../domains/disk-mark.ts'
import type { LibvirtCalls } from '../domains/libvirt-domain.ts'
import type { MediaChanger } from '../domains/media.ts'
import type { DiskMover } from '../domains/move/disk-mover.ts'
import type { NicChanger } from '../domains/nics.ts'
import type { VmDeviceService } from './contracts.ts'
import { fieldChecks } from './request-fields.ts'

/** The parts of the domain layer the service is made of. */
export interface VmDeviceServiceParts {
  readonly attacher: DiskAttacher
  readonly diskDetacher: DeviceDetacher
  readonly resizer: DiskResizer
  readonly mover: Pick<DiskMover, 'move'>
  readonly nics: NicChanger
  readonly nicDetacher: DeviceDetacher
  readonly media: MediaChanger
  readonly libvirt: LibvirtCalls
}

const PATH_BYTES = 4095
const RESIZE_TIMEOUT_MS = 10 * 60_000

/** VmDeviceService over the domain layer: checks what callers send. */
export function createVmDeviceService(parts: VmDeviceServiceParts): VmDeviceService {
  const { attacher, resizer, mover, diskDetacher, nics, nicDetacher, media, libvirt } = parts
  const check = fieldChecks('INVALID_REQUEST')
  return {
    attachDisk: async (vmId, disk, signal) => attacher.attach(parseUuid(vmId, 'vm_id'), disk, signal),
    detachDisk: async (vmId, disk, signal) => {
      check.text(disk, 'disk_id', { maxBytes: 255, required: true })
      await diskDetacher.detach(parseUuid(vmId, 'vm_id'), disk, signal)
    },
    resizeDisk: async (vmId, disk, sizeBytes, signal) => {
      const found = await resizer.findOn(parseUuid(vmId, 'vm_id'), disk, signal)
      // A caller that hangs up ends its waiting, not what was begun.
      const ctx = { signal: AbortSignal.timeout(RESIZE_TIMEOUT_MS), log: silentLogger }
      await abortable(resizer.resize(found, sizeBytes, ctx), signal)
    },
    moveDisk: async (vmId, disk, { poolId, bytesPerSecond, dropCheckpoints }, signal) => {
      check.text(disk, 'disk', { maxBytes: 255, required: true })
      const request = {
        vmId: parseUuid(vmId, 'id'),
        diskId: disk,
        poolId: parseId(poolId, 'poolId'),
        bytesPerSecond: check.integer(bytesPerSecond, 'bytesPerSecond', {}),
        dropCheckpoints,
      }
      return { jobId: (await mover.move(request, signal)).id }
    },
    setDiskMark: async (vmId, disk, bytes, signal) => {
      const mark = { vmId: parseUuid(vmId, 'vm_id'), name: disk, bytes: check.integer(bytes, 'bytes', {}) }
      await setDiskMark({ libvirt, disks: resizer }, mark, signal)
    },
    nics: async (vmId, signal) => nics.list(parseUuid(vmId, 'vm_id'), signal),
    attachNic: async (vmId, nic, signal) => nics.attach(parseUuid(vmId, 'vm_id'), nic, signal),
    detachNic: async (vmId, nic, signal) => {
      check.text(nic, 'nic_id', { maxBytes: 255, required: true })
      await nicDetacher.detach(parseUuid(vmId, 'vm_id'), nic, signal)
    },
    changeNic: async (vmId, nic, change, signal) => nics.change(parseUuid(vmId, 'vm_id'), nic, change, signal),
    changeMedia: async (vmId, change, signal) => {
      check.text(change.device, 'device', { maxBytes: 128 })
      check.text(change.isoPath, 'iso_path', { maxBytes: PATH_BYTES })
      return media.change(parseUuid(vmId, 'vm_id'), change, signal)
    },
  }
}
