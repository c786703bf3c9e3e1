import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { DiskFormat } from '../core/model.ts'

const COMPONENT = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
/** Keeps the record file of a volume, whose name is the escaped volume name, below NAME_MAX. */
const MAX_NAME = 220
const MAX_DEPTH = 6

/** The components of a volume name; INVALID_NAME when it is not one. */
export function parseVolumeName(name: string): readonly string[] {
  const parts = name.split('/')
  const good = name.length <= MAX_NAME && parts.length <= MAX_DEPTH && parts.every(isComponent)
  if (!good) {
    throw new AgentError(
      'INVALID_NAME',
      `volume name ${quote(name)} is not allowed; use components of letters, digits, dots, dashes and underscores joined by "/"`,
    )
  }
  return parts
}

/** The name of a snapshot, which is one component of a volume name; INVALID_NAME when it is not. */
export function parseSnapshotName(name: string): string {
  if (isComponent(name)) return name
  throw new AgentError(
    'INVALID_NAME',
    `snapshot name ${quote(name)} is not allowed; use up to 128 letters, digits, dots, dashes and underscores`,
  )
}

/** Path of a volume's file relative to the pool root: the one owner of this rule. */
export function volumeFile(name: string, format: DiskFormat): readonly string[] {
  const parts = [...parseVolumeName(name)]
  parts.push(`${parts.pop()}.${format}`)
  return parts
}

/** Suffixes of image files, which are no part of the name when the image is a volume. */
const IMAGE_SUFFIX = /\.(qcow2|img|raw)$/

/**
 * The volume that stands for an image file in a pool of volumes: the pool-relative path without the suffix of an image (`cloud-images/debian-12.qcow2` is volume
 * `cloud-images/debian-12`). Downloads that write volumes and VMs that use them both ask here. INVALID_NAME when that is no volume name.
 */
export function volumeNameOfPath(relative: string): string {
  const name = relative.replace(IMAGE_SUFFIX, '')
  parseVolumeName(name)
  return name
}

/** Name of the record file of a volume; one component. */
export function volumeRecordFile(name: string): string {
  return `${parseVolumeName(name).join('%2F')}.json`
}

/** The volume whose record file has this name: the other way round. */
export function volumeOfRecordFile(file: string): string {
  return file.replace(/\.json$/, '').replaceAll('%2F', '/')
}

function isComponent(part: string): boolean {
  return COMPONENT.test(part) && !part.includes('..') && !part.endsWith('.')
}
