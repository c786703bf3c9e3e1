import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { DiskFormat, DiskSource, Volume } from '../core/model.ts'
import { isInside } from '../platform/files.ts'
import { imageInfo } from '../storage/qemu-img.ts'
import type { DomainDeps } from './deps.ts'

/** Files that a disk may be made of at most. */
export const MAX_LAYERS = 16

/** An image or disk as found: its layers, active one first, and the size a guest sees. */
export interface FoundDisk {
  readonly layers: readonly [DiskSource, ...DiskSource[]]
  readonly virtualSizeBytes: number
}

/** A volume as a disk: what is in a raw one is the guest's, and the agent makes no chains of those that are no files. */
export function volumeDisk({ source, virtualSizeBytes }: Volume): FoundDisk {
  return { layers: [source], virtualSizeBytes }
}

/**
 * The kind of thing at `file`, which has to be in an active pool or in a directory the configuration allows, also when symbolic links are followed: anything else
 * could be a secret of the host. Throws `reason` otherwise.
 */
export async function lookAt(
  file: string,
  what: string,
  deps: Pick<DomainDeps, 'pools' | 'config' | 'media'>,
  ctx: OpContext,
  reason: 'BACKING_FILE_REFUSED' | 'INVALID_PATH' = 'INVALID_PATH',
): Promise<'missing' | 'file' | 'device' | 'other'> {
  const root =
    deps.pools.findByPath(file)?.backend.mountPath ?? deps.config.imageRoots.find((place) => isInside(place, file))
  if (root === undefined) {
    throw new AgentError(
      reason,
      `${what}: ${quote(file)} is in no active pool and no allowed image directory of this host`,
    )
  }
  const kind = await deps.media.kind(file, root, ctx)
  if (kind !== 'outside') return kind
  throw new AgentError(reason, `${what}: a symbolic link leads ${quote(file)} out of ${quote(root)}`)
}

/** A backing image at a path: plain, in an allowed place. Errors: BACKING_FILE_MISSING, BACKING_FILE_REFUSED, IMAGE_CHANGED, those of storage. */
export async function findImageFile(file: string, deps: DomainDeps, ctx: OpContext): Promise<FoundDisk> {
  const kind = await lookAt(file, 'backing image', deps, ctx, 'BACKING_FILE_REFUSED')
  if (kind === 'missing') {
    throw new AgentError(
      'BACKING_FILE_MISSING',
      `backing image ${quote(file)} is missing on this host; download it first`,
    )
  }
  if (kind === 'device') return deviceDisk(file, ctx)
  try {
    await deps.inspector.recheck(file, ctx)
    return await inspectPlain(file, deps, ctx)
  } catch (error) {
    if (!isAgentError(error, 'IMAGE_NOT_AN_IMAGE', 'IMAGE_REFUSED', 'FILE_NOT_FOUND')) throw error
    throw new AgentError('BACKING_FILE_REFUSED', `backing image: ${error.message}`, { cause: error })
  }
}

/** A disk at a path that is attached as it is. Overlays are followed to their last layer, all of it in allowed places. */
export async function findDiskFile(
  file: string,
  format: DiskFormat | undefined,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<FoundDisk> {
  const kind = await lookAt(file, 'disk', deps, ctx)
  if (kind === 'missing') throw new AgentError('VOLUME_NOT_FOUND', `disk ${quote(file)} is missing on this host`)
  if (kind === 'device') return deviceDisk(file, ctx)
  if (kind !== 'file')
    throw new AgentError('INVALID_PATH', `disk ${quote(file)} is neither a regular file nor a block device`)
  const known = format ?? (await recordedFormat(file, deps, ctx))
  if (known !== undefined) return followChain(file, known, deps, ctx)
  try {
    return await inspectPlain(file, deps, ctx)
  } catch (error) {
    // An overlay is no plain image; only a qcow2 file can be one.
    if (!isAgentError(error, 'IMAGE_REFUSED')) throw error
  }
  return followChain(file, 'qcow2', deps, ctx)
}

// A guest can write any header into a device: it is raw, whatever it says.
async function deviceDisk(device: string, ctx: OpContext): Promise<FoundDisk> {
  const { virtualSizeBytes } = await imageInfo(device, 'raw', ctx)
  return { layers: [{ type: 'block', device, format: 'raw' }], virtualSizeBytes }
}

// A guest can write any header into its raw disk: what the agent made is what its record says, whatever the path it is named by.
async function recordedFormat(
  file: string,
  { pools }: Pick<DomainDeps, 'pools'>,
  ctx: OpContext,
): Promise<DiskFormat | undefined> {
  const pool = pools.findByPath(file)
  if (pool === undefined) return undefined
  const name = path.relative(pool.backend.mountPath, file).replace(/\.(qcow2|raw)$/, '')
  try {
    const volume = await pool.backend.getVolume(name, ctx)
    return volume?.source.type === 'file' && volume.source.path === file ? volume.format : undefined
  } catch (error) {
    if (isAgentError(error, 'INVALID_NAME')) return undefined
    throw error
  }
}

async function inspectPlain(file: string, deps: DomainDeps, ctx: OpContext): Promise<FoundDisk> {
  const facts = await deps.inspector.inspect(file, ctx)
  return { layers: [{ type: 'file', path: file, format: facts.format }], virtualSizeBytes: facts.virtualSizeBytes }
}

async function followChain(file: string, format: DiskFormat, deps: DomainDeps, ctx: OpContext): Promise<FoundDisk> {
  const layers: DiskSource[] = []
  let virtualSizeBytes: number | undefined
  let next: { file: string; format: DiskFormat } | undefined = { file, format }
  while (next !== undefined) {
    const { file: current, format: currentFormat }: { file: string; format: DiskFormat } = next
    if (layers.length >= MAX_LAYERS) throw refused(file, `has more than ${MAX_LAYERS} layers`)
    const kind = await lookAt(current, 'backing image', deps, ctx, 'BACKING_FILE_REFUSED')
    if (kind !== 'file') throw refused(current, 'is missing or not a regular file')
    const info = await imageInfo(current, currentFormat, ctx)
    if (info.encrypted || info.dataFile !== undefined)
      throw refused(current, 'is encrypted or has an external data file')
    virtualSizeBytes ??= info.virtualSizeBytes
    layers.push({ type: 'file', path: current, format: currentFormat })
    next = undefined
    if (info.backingFile !== undefined) {
      const { backingFormat } = info
      if (backingFormat !== 'qcow2' && backingFormat !== 'raw')
        throw refused(current, 'does not state the format of its backing file')
      if (/^[a-z0-9+.-]+:/i.test(info.backingFile)) throw refused(current, 'has a backing file that is not a path')
      next = { file: path.resolve(path.dirname(current), info.backingFile), format: backingFormat }
    }
  }
  const [active, ...backing] = layers
  if (active === undefined) throw refused(file, 'has no layer')
  return { layers: [active, ...backing], virtualSizeBytes: virtualSizeBytes ?? 0 }
}

function refused(file: string, why: string): AgentError {
  return new AgentError('BACKING_FILE_REFUSED', `disk ${quote(file)} ${why}`)
}
