import { createHash } from 'node:crypto'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { parseSnapshotName, parseVolumeName } from './volume-name.ts'

/** lvm(8), "VALID NAMES". */
const NAME = /^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$/
const RESERVED =
  /^snapshot|^pvmove|_(?:cdata|cmeta|corig|cpool|cvol|imeta|iorig|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|wcorig)/
/** DM_NAME_LEN of linux/dm-ioctl.h without the end of the text. */
const MAX_DM_NAME = 127
/** Longest ending LVM gives the parts of a thin pool. */
const PART = '-tpool'

/** Name of the device-mapper entry of a logical volume: hyphens of the names are doubled. */
export function mapName(volumeGroup: string, lv: string): string {
  return `${volumeGroup.replaceAll('-', '--')}-${lv.replaceAll('-', '--')}`
}

/** True for the names of device-mapper entries of a volume group, whatever logical volume or part of one they are. */
export function isMapOf(volumeGroup: string, map: string): boolean {
  const prefix = mapName(volumeGroup, '')
  return map.startsWith(prefix) && !map.startsWith('-', prefix.length)
}

/** A volume group and a thin pool LVM can have; POOL_CONFIG_INVALID naming the option. */
export function checkLvmNames(prefix: string, volumeGroup: string, thinPool: string): void {
  checkName(`${prefix}.volume_group`, volumeGroup)
  checkName(`${prefix}.thin_pool`, thinPool)
  if (mapName(volumeGroup, thinPool).length + PART.length <= MAX_DM_NAME) return
  throw new AgentError(
    'POOL_CONFIG_INVALID',
    `${prefix}.volume_group: ${volumeGroup} and the thin pool ${thinPool} are too long together; give shorter names`,
  )
}

/**
 * Name of the logical volume of a pool volume: the same, with `+` for `/`; a hash where LVM reserves the name or device-mapper cannot hold it. Injective: plain names
 * have no empty components, so nothing else begins with `+` or has `++` in it. INVALID_NAME.
 */
export function volumeLv(volumeGroup: string, name: string): string {
  const plain = parseVolumeName(name).join('+')
  return usable(volumeGroup, plain) ? plain : `++v.${hash(name)}`
}

/** Name of the logical volume of a snapshot. INVALID_NAME. */
export function snapshotLv(volumeGroup: string, volume: string, snapshot: string): string {
  const plain = `${volumeLv(volumeGroup, volume)}++${parseSnapshotName(snapshot)}`
  return usable(volumeGroup, plain) && !plain.startsWith('+') ? plain : `++s.${hash(`${volume}\n${snapshot}`)}`
}

function usable(volumeGroup: string, lv: string): boolean {
  return !RESERVED.test(lv) && mapName(volumeGroup, lv).length <= MAX_DM_NAME
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

function checkName(field: string, name: string): void {
  const good = NAME.test(name) && name !== '.' && name !== '..' && !RESERVED.test(name) && name.length <= MAX_DM_NAME
  if (good) return
  throw new AgentError(
    'POOL_CONFIG_INVALID',
    `${field}: ${quote(name)} is no name for LVM; use letters, digits, dots, dashes, plus signs and underscores, and none of its reserved words (lvm(8))`,
  )
}
