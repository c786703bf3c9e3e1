import { realpath } from 'node:fs/promises'
import path from 'node:path'
import { AgentError } from '../core/errors.ts'
import { followLink, listNames, readAttribute } from '../platform/sysfs.ts'

const BLOCK = '/sys/class/block'
/** States of SCSI disks (`device/state`) and NVMe controllers in which requests are carried out; other kinds of disk have none. */
const GOOD_STATES = ['', 'running', 'live']

/** Kernel name (`/dev/sdb`) of a block device that is there under a stable name. DEVICE_MISSING. */
export async function resolveDevice(device: string): Promise<string> {
  // Nodes of devtmpfs: nothing is asked of the device.
  const node = await realpath(device).catch(() => '')
  const name = path.basename(node)
  if (node !== '' && (await followLink(BLOCK, name)) !== '') return node
  throw new AgentError('DEVICE_MISSING', `${device} is not on this host; check the disk, its cabling and the name`)
}

/** Why requests to a block device (kernel name) would hang or fail, as a sentence, from what the kernel knows without asking it; undefined when they would not. */
export async function deviceTrouble(node: string): Promise<string | undefined> {
  const name = path.basename(node)
  const place = await followLink(BLOCK, name)
  if (place === '') return `${node} is gone`
  const below = await listNames(place, 'slaves')
  if (below.length > 0) {
    const troubles = await Promise.all(below.map((slave) => deviceTrouble(`/dev/${slave}`)))
    // One path of a multipath device is enough.
    return troubles.some((trouble) => trouble === undefined) ? undefined : troubles[0]
  }
  // A partition has the state of its disk.
  const disk = (await readAttribute(place, 'partition')) === '' ? place : path.dirname(place)
  const state = await readAttribute(disk, 'device', 'state')
  return GOOD_STATES.includes(state) ? undefined : `${node} does not answer (its state is ${state})`
}

/** What uses a block device (kernel name) as a part of something else, such as `dm-3`. */
export async function deviceHolders(node: string): Promise<string[]> {
  return listNames(BLOCK, path.basename(node), 'holders')
}
