import { MIB } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { PoolBackend, VolumeSpec } from './backend.ts'
import type { FailedWrite } from './full-pool.ts'
import { dataBytes, imagePlace } from './qemu-img.ts'

/** Header and first tables of a sparse image, or the first extents of a thin volume. */
const SPARSE_BYTES = 4 * MIB

/**
 * What creating a volume writes to its pool, in bytes, for a reservation: nearly nothing for an empty one, an overlay or a clone that shares its data, all the data of
 * the source for a copy (decompressed: an image may be far smaller than what is in it). Errors: those of dataBytes.
 */
export async function firstBytes(
  { content }: Pick<VolumeSpec, 'content'>,
  backend: Pick<PoolBackend, 'getVolume'> & { readonly traits: Pick<PoolBackend['traits'], 'access'> },
  ctx: OpContext,
): Promise<number> {
  if (content.type === 'copy') {
    const { source } = content
    return SPARSE_BYTES + (await dataBytes(imagePlace(source), source.format, ctx))
  }
  // Files are copied; pools of devices and of network images share what clones have in common.
  if (content.type !== 'clone' || backend.traits.access !== 'file') return SPARSE_BYTES
  return SPARSE_BYTES + ((await backend.getVolume(content.volume, ctx))?.allocatedBytes ?? 0)
}

/** The creation of a volume that failed for want of space: what it needs is what it writes, which may be far less than its size. Not known when its source cannot be measured. */
export async function failedCreation(
  spec: Pick<VolumeSpec, 'content' | 'name'>,
  backend: Parameters<typeof firstBytes>[1],
  ctx: OpContext,
): Promise<FailedWrite> {
  const what = `volume ${spec.name}`
  try {
    return { what, neededBytes: await firstBytes(spec, backend, ctx) }
  } catch (error) {
    ctx.log.debug({ volume: spec.name, err: errorText(error) }, 'what a volume needs cannot be told')
    return { what }
  }
}
