import type { DiskFormat, DiskSource } from '../core/model.ts'
import type { PoolBackend, PoolTraits, VolumeContent } from './backend.ts'

/** An image or volume that a new volume gets its content from. */
export interface ContentOrigin {
  readonly source: DiskSource
  /** Which volume it is, when it is one. */
  readonly volume?: { readonly poolId: string; readonly name: string }
}

/**
 * How a new volume of a pool gets the content of `origin`, by what the pool is (docs/storage.md, "VM disks"): a qcow2 file on an image file is an overlay; a volume of
 * the same block or network pool is cloned; everything else is a full copy.
 */
export function contentFrom(
  origin: ContentOrigin | undefined,
  { config, traits }: Pick<PoolBackend, 'config' | 'traits'>,
  format: DiskFormat,
): VolumeContent {
  if (origin === undefined) return { type: 'empty' }
  const { source, volume } = origin
  if (traits.access === 'file') {
    return source.type === 'file' && format === 'qcow2'
      ? { type: 'overlay', path: source.path, format: source.format }
      : { type: 'copy', source }
  }
  return volume?.poolId === config.poolId ? { type: 'clone', volume: volume.name } : { type: 'copy', source }
}

/** The format a new volume of a pool really gets: control planes ask for qcow2 whatever the pool is, and most pools of devices only have raw ones. */
export function formatIn({ formats }: Pick<PoolTraits, 'formats'>, wanted: DiskFormat): DiskFormat {
  return formats.includes(wanted) ? wanted : (formats[0] ?? wanted)
}
