import path from 'node:path'
import type { DiskFacts, FilesystemFacts, PartitionFacts, SmartStatus } from '../core/model.ts'
import type { MountEntry } from '../platform/mounts.ts'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'
import type { BlockDevice } from './block-devices.ts'

const SECTOR_BYTES = 512

/** What is known of file systems: where they are mounted, their numbers, and what udev found in devices that are not mounted. */
export interface DiskContext {
  readonly sys: string
  readonly mounts: readonly MountEntry[]
  readonly filesystems: readonly FilesystemFacts[]
  /** udev's records, `/run/udev/data`. */
  readonly udev: string
  readonly smart: (disk: string) => SmartStatus
}

/** A disk with its partitions. Nothing is read from the disk: all is what the kernel and udev know. */
export async function readDisk(device: BlockDevice, context: DiskContext): Promise<DiskFacts> {
  const kernelName = device.path.slice('/dev/'.length).replaceAll('/', '!')
  const at = path.join(context.sys, 'block', kernelName)
  const inner = await listNames(at)
  const parts = await Promise.all(
    inner
      .filter((name) => name.startsWith(kernelName))
      .map(async (name) =>
        (await readAttribute(at, name, 'partition')) === '' ? undefined : readPartition(path.join(at, name), context),
      ),
  )
  const partitions = parts.filter((part) => part !== undefined)
  // A file system on the bare disk is told as the one partition it has.
  const whole = partitions.length === 0 ? await readPartition(at, context) : undefined
  if (whole !== undefined && whole.filesystem !== '') partitions.push(whole)
  const { model, serial, sizeBytes, type, removable } = device
  return {
    name: device.path.slice('/dev/'.length),
    model,
    serial,
    sizeBytes,
    type,
    interface: await interfaceOf(at),
    removable,
    smartStatus: context.smart(device.path),
    partitions,
  }
}

async function readPartition(at: string, { mounts, filesystems, udev }: DiskContext): Promise<PartitionFacts> {
  const number = await readAttribute(at, 'dev')
  // btrfs mounts under a number of its own, but names the device.
  const name = path.basename(at).replaceAll('!', '/')
  const mount =
    mounts.find(({ device, root }) => device === number && root === '/') ??
    mounts.find(({ device, source }) => device === number || source === `/dev/${name}`)
  const numbers = filesystems.find(({ mountPoint }) => mountPoint === mount?.mountPoint)
  const record = number === '' ? '' : await readAttribute(udev, `b${number}`)
  return {
    name,
    mountPoint: mount?.mountPoint ?? '',
    filesystem: mount?.fsType ?? /^E:ID_FS_TYPE=(.*)$/m.exec(record)?.[1] ?? '',
    sizeBytes: ((await readNumber(at, 'size')) ?? 0) * SECTOR_BYTES,
    usedBytes: numbers?.usedBytes ?? 0,
  }
}

// By the controllers on the way to the disk in the tree of devices.
async function interfaceOf(at: string): Promise<string> {
  const place = await followLink(at)
  if (/\/nvme\d/.test(place)) return 'nvme'
  if (/\/usb\d+\//.test(place)) return 'usb'
  if (/\/ata\d+\//.test(place)) return 'sata'
  if (/\/(end_device|sas_)/.test(place) || (await listNames(at, 'device')).includes('sas_address')) return 'sas'
  if (/\/mmc\d/.test(place)) return 'mmc'
  if (/\/virtio\d+\/block\//.test(place)) return 'virtio'
  return /\/host\d+\/target/.test(place) ? 'scsi' : ''
}
