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

/** Path of a volume's file relative to the pool root: the one owner of this rule. */
export function volumeFile(name: string, format: DiskFormat): readonly string[] {
  const parts = [...parseVolumeName(name)]
  parts.push(`${parts.pop()}.${format}`)
  return parts
}

/** Name of the record file of a volume; one component. */
export function volumeRecordFile(name: string): string {
  return `${parseVolumeName(name).join('%2F')}.json`
}

function isComponent(part: string): boolean {
  return COMPONENT.test(part) && !part.includes('..') && !part.endsWith('.')
}
