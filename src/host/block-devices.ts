import path from 'node:path'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'

/** A disk of the host. */
export interface BlockDevice {
  /** `/dev/<name>`. */
  readonly path: string
  /** Empty when the device does not tell. */
  readonly model: string
  readonly serial: string
  readonly sizeBytes: number
  readonly type: 'HDD' | 'SSD' | 'NVME'
  readonly removable: boolean
}

// sysfs counts in these units whatever the device's own sector size is.
const SECTOR_BYTES = 512

/** Disks with a medium; loop, RAM, mapped, software RAID, network (rbd, nbd, drbd) and optical devices are not disks of this host. */
export async function readBlockDevices(sys: string): Promise<BlockDevice[]> {
  const names = await listNames(sys, 'block')
  const devices = await Promise.all(
    names.filter(isHostDisk).map((name) => readBlockDevice(path.join(sys, 'block', name))),
  )
  return devices.filter((device) => device.sizeBytes > 0)
}

/** False for names of loop, RAM, mapped, software RAID, network and optical devices, which are no disks of the host. */
export function isHostDisk(name: string): boolean {
  return !/^(loop|ram|zram|dm-|md\d|md_|sr|fd|rbd|nbd|drbd|mtdblock|bcache|pmem\d+s)/.test(name)
}

async function readBlockDevice(directory: string): Promise<BlockDevice> {
  const name = path.basename(directory)
  const sectors = (await readNumber(directory, 'size')) ?? 0
  const rotational = (await readNumber(directory, 'queue/rotational')) === 1
  const vendor = await readAttribute(directory, 'device/vendor')
  const model = await readAttribute(directory, 'device/model')
  return {
    // The kernel writes "!" for "/" in names such as cciss!c0d0.
    path: `/dev/${name.replaceAll('!', '/')}`,
    // SCSI tells its vendor in letters, virtio and PCI by number.
    model: model !== '' && /^[A-Za-z]/.test(vendor) && vendor !== 'ATA' ? `${vendor} ${model}` : model,
    serial:
      (await readAttribute(directory, 'serial')) ||
      (await readAttribute(directory, 'device/serial')) ||
      printable((await readAttribute(directory, 'device/vpd_pg80')).slice(4)),
    sizeBytes: sectors * SECTOR_BYTES,
    type: name.startsWith('nvme') ? 'NVME' : rotational ? 'HDD' : 'SSD',
    removable: (await readNumber(directory, 'removable')) === 1,
  }
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').trim()
}

/**
 * True when I/O on the block device `name` (as in /sys/class/block) stays inside this host, so that it cannot wait for a network: for a partition or stacked
 * device when that holds for all below it. Not for iSCSI, Fibre Channel, NVMe over fabrics, rbd, nbd, drbd and loop devices.
 */
export async function isLocalBlockDevice(sys: string, name: string): Promise<boolean> {
  const target = await followLink(sys, 'class/block', name)
  if (target === '' || isRemotePath(target)) return false
  if ((await readAttribute(target, 'partition')) !== '') return isLocalBlockDevice(sys, parentName(target))
  for (const slave of await listNames(target, 'slaves')) if (!(await isLocalBlockDevice(sys, slave))) return false
  for (const controller of await nvmeControllers(target)) {
    if ((await readAttribute(sys, 'class/nvme', controller, 'transport')) !== 'pcie') return false
  }
  return true
}

/** Tells from the path of a device in sysfs that a network, or another file, is between the host and the medium. */
function isRemotePath(target: string): boolean {
  return /\/session\d+\/|\/rport-|\/nvme-fabrics\//.test(target) || /\/block\/(rbd|nbd|drbd|loop)\d/.test(target)
}

function parentName(target: string): string {
  return path.basename(path.dirname(target))
}

// With multipath support even a local disk hangs below a virtual subsystem, which lists its controllers.
async function nvmeControllers(target: string): Promise<string[]> {
  const subsystem = /^(.*\/nvme-subsys\d+)\//.exec(target)?.[1]
  if (subsystem !== undefined) return (await listNames(subsystem)).filter((name) => /^nvme\d+$/.test(name))
  const controller = /\/(nvme\d+)\//.exec(target)?.[1]
  return controller === undefined ? [] : [controller]
}
