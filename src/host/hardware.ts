import path from 'node:path'
import { abortable } from '../core/keyed-lock.ts'
import type { AdapterFacts, HardwareFacts } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import { readMounts } from '../platform/mounts.ts'
import { followLink } from '../platform/sysfs.ts'
import { readDimms } from './dimms.ts'
import { readDisk } from './disks.ts'
import { readGpus } from './gpus.ts'
import type { HostDetails } from './inventory.ts'
import { iscsiDiskNames, nfsMounts, readIscsiLuns } from './network-storage.ts'
import type { NicDetails } from './nics.ts'
import type { SmartWatch } from './smart.ts'

/** Where to read instead of the kernel's own places. */
export interface HardwareRoots {
  readonly proc: string
  readonly sys: string
  readonly udev: string
}

/** The hardware of this host. */
export interface Hardware {
  /** Goes with `details`. Read at most every 5 s; concurrent callers share one reading. */
  read(details: HostDetails, signal: AbortSignal): Promise<HardwareFacts>
}

const FRESH_MS = 5_000
const KERNEL: HardwareRoots = { proc: '/proc', sys: '/sys', udev: '/run/udev/data' }

/** Reads kernel and udev files only: nothing that could wait for a disk or a server. */
export function createHardware(smart: Pick<SmartWatch, 'status'>, roots: HardwareRoots = KERNEL): Hardware {
  let reading: Promise<HardwareFacts> | undefined
  let startedAt = 0
  return {
    read(details, signal) {
      if (reading === undefined || monotonicMs() - startedAt > FRESH_MS) {
        startedAt = monotonicMs()
        const current = readHardware(details, smart, roots)
        current.catch(() => {
          if (reading === current) reading = undefined
        })
        reading = current
      }
      return abortable(reading, signal)
    },
  }
}

async function readHardware(
  details: HostDetails,
  smart: Pick<SmartWatch, 'status'>,
  { proc, sys, udev }: HardwareRoots,
): Promise<HardwareFacts> {
  const mounts = await readMounts(path.join(proc, 'self/mountinfo'))
  const remote = await iscsiDiskNames(sys)
  const local = details.blockDevices.filter((device) => !remote.has(path.basename(device.path)))
  const { filesystems } = details
  const ask = (disk: string) => smart.status(disk)
  return {
    ...(await readDimms(sys)),
    disks: await Promise.all(local.map((disk) => readDisk(disk, { sys, mounts, filesystems, udev, smart: ask }))),
    nfs: nfsMounts(mounts),
    iscsi: await readIscsiLuns(sys),
    adapters: await Promise.all(details.nics.map((nic) => readAdapter(sys, nic))),
    gpus: await readGpus(sys),
  }
}

// The device of a virtio NIC hangs below its PCI device.
async function readAdapter(sys: string, nic: NicDetails): Promise<AdapterFacts> {
  const place = nic.physical ? await followLink(sys, 'class/net', nic.name, 'device') : ''
  const pciAddress = place
    .split('/')
    .reverse()
    .find((part) => /^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(part))
  return { ...nic, pciAddress: pciAddress ?? '' }
}
