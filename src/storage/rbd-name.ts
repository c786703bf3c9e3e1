import { createHash } from 'node:crypto'
import { parseVolumeName } from './volume-name.ts'

/** Where the images of a pool are. `namespace` is '' for the default one. */
export interface RbdPlace {
  readonly pool: string
  readonly namespace: string
}

/** Longest image name that every tool and kernel of Ceph takes. */
const MAX_IMAGE_NAME = 95
/** No volume name has it, so images of this beginning are the agent's own affairs. */
const INTERNAL = '+'

/** `<pool>[/<namespace>]`, as the tools write it. */
export function placeText({ pool, namespace }: RbdPlace): string {
  return namespace === '' ? pool : `${pool}/${namespace}`
}

/** `<pool>[/<namespace>]/<image>`, as the tools write it. */
export function imageSpec(place: RbdPlace, image: string): string {
  return `${placeText(place)}/${image}`
}

/** The image of a volume: its name with `+` for `/`, and a hash for one that is too long. No two volumes have the same. INVALID_NAME. */
export function volumeImage(name: string): string {
  const image = parseVolumeName(name).join('+')
  if (image.length <= MAX_IMAGE_NAME) return image
  return `${INTERNAL}${createHash('sha256').update(name).digest('hex')}`
}

/** The keyring that belongs to a configuration of a pool (CephTools), by its path or name. */
export function keyringBeside(configFile: string): string {
  return configFile.replace(/\.conf$/, '.keyring')
}

/** What an image that is no volume is for: being made (`tmp`), being removed (`gone`); `clone` is a snapshot that a clone is made from. */
export type WorkKind = 'tmp' | 'gone' | 'clone'

/** The beginning of names of unfinished work of one agent. */
export function workPrefix(kind: WorkKind, nodeId: string): string {
  const tag = createHash('sha256').update(nodeId).digest('hex').slice(0, 8)
  return `${INTERNAL}${kind}.${tag}.`
}

/** True for an image of unfinished work, of any agent. */
export function isWorkImage(image: string): boolean {
  return /^\+(tmp|gone)\./.test(image)
}

/** True for a snapshot that is there only while a clone is made. */
export function isWorkSnapshot(snapshot: string): boolean {
  return snapshot.startsWith(INTERNAL)
}
