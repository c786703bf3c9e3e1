import { readFile, realpath } from 'node:fs/promises'

const DEVICES = '/dev/'
/** Names of device-mapper for a logical volume: both names with each dash doubled, and one between them. What LVM hides has a third part. */
const LOGICAL_VOLUME = /^((?:[^-]|--)+)-((?:[^-]|--)+)$/

/**
 * `/dev/<vg>/<lv>` for `/dev/mapper/<vg>-<lv>`, any other path as it is: logical volumes have two names, and storage knows them by the first. Pure.
 */
export function deviceName(path: string): string {
  const [, group, volume] = LOGICAL_VOLUME.exec(afterPrefix(path, '/dev/mapper/')) ?? []
  if (group === undefined || volume === undefined) return path
  return `${DEVICES}${group.replaceAll('--', '-')}/${volume.replaceAll('--', '-')}`
}

/**
 * The place (placeOf) of a device, whatever link leads to it: `/dev/<vg>/<lv>` for a logical volume, the device node for others. Paths outside of `/dev`, and devices
 * that are not there, keep their name. Reads links in /dev and /sys, never the device.
 */
export async function devicePlace(path: string): Promise<string> {
  if (!path.startsWith(DEVICES)) return path
  try {
    const node = await realpath(path)
    const mapped = afterPrefix(node, '/dev/dm-')
    if (mapped === '') return node
    const name = await readFile(`/sys/block/dm-${mapped}/dm/name`, 'utf8')
    return deviceName(`/dev/mapper/${name.trim()}`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return deviceName(path)
    throw error
  }
}

function afterPrefix(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : ''
}
