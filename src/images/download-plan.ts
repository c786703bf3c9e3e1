import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { parseId, quote } from '../core/ids.ts'
import type { DownloadRequest } from '../core/model.ts'
import { parseFetchUrl } from '../platform/fetch-policy.ts'
import { isInside, parseAbsolutePath, TEMP_SUFFIX } from '../platform/files.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { PoolGuard } from '../storage/pool-guard.ts'
import { RECORDS_DIRECTORY } from '../storage/pool-marker.ts'
import { parseChecksum, type Checksum } from './verify.ts'

/** Rules of downloads, from the configuration. */
export interface DownloadSettings {
  /** Base directories for downloads that belong to no pool. */
  readonly allowedDirs: readonly string[]
  readonly allowPrivateAddresses: boolean
  /** A download without a received or durable byte for this long fails. */
  readonly stallTimeoutMs: number
  /** Downloads at the same time; the rest waits. */
  readonly maxConcurrent: number
}

/** A checked request, as the operation persists it. */
export interface DownloadParams {
  readonly imageId: string
  readonly catalogId: string
  readonly url: string
  /** The file pool that holds the target; empty for an allowed base directory. */
  readonly poolId: string
  /** As the caller named it, for the job view. */
  readonly requestedPoolId: string
  readonly base: string
  readonly directory: string
  readonly fileName: string
  readonly checksum?: Checksum
}

// Room for the suffixes of temp files and manifests within the 255 bytes of a name.
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,179}$/

/**
 * Turns a request into parameters, touching no file system: a known file pool must contain the target, anything else must be below an allowed base directory. Errors: INVALID_REQUEST,
 * INVALID_NAME, INVALID_PATH, URL_REFUSED, CHECKSUM_INVALID, TARGET_REFUSED, POOL_UNAVAILABLE.
 */
export async function planDownload(
  request: DownloadRequest,
  pools: PoolAccess,
  settings: DownloadSettings,
  ctx: OpContext,
): Promise<DownloadParams> {
  const url = parseFetchUrl(request.url, settings)
  const checksum = parseChecksum(request.checksum, request.checksumType)
  const fileName = chooseFileName(request, url)
  const directory = parseAbsolutePath(request.targetDir, 'targetDir')
  const pool = await findPool(request.poolId, directory, pools, ctx)
  const base = pool?.root ?? settings.allowedDirs.find((dir) => isInside(dir, directory))
  if (base !== undefined && isInside(path.join(base, RECORDS_DIRECTORY), directory)) {
    throw new AgentError('TARGET_REFUSED', `targetDir ${quote(directory)} is where the agent keeps its records`)
  }
  if (base === undefined || !isInside(base, directory)) {
    throw new AgentError('TARGET_REFUSED', refusal(request, directory, pool, settings))
  }
  return {
    imageId: request.imageId,
    catalogId: request.catalogId,
    url: url.href,
    poolId: pool?.poolId ?? '',
    requestedPoolId: request.poolId,
    base,
    directory,
    fileName,
    ...(checksum === undefined ? {} : { checksum }),
  }
}

/** The identity a job checks before it writes, fresh from the pool; undefined without a pool. Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE, TARGET_REFUSED. */
export async function currentGuard(
  params: DownloadParams,
  pools: PoolAccess,
  ctx: OpContext,
): Promise<PoolGuard | undefined> {
  if (params.poolId === '') return undefined
  const { guard } = await pools.require(params.poolId, ctx)
  if (guard === undefined || !isInside(guard.root, params.directory)) {
    throw new AgentError('TARGET_REFUSED', `pool ${params.poolId} no longer has the directory ${params.directory}`)
  }
  return guard
}

async function findPool(
  poolId: string,
  directory: string,
  pools: PoolAccess,
  ctx: OpContext,
): Promise<PoolGuard | undefined> {
  if (poolId === '') return pools.findByPath(directory)?.guard
  try {
    return (await pools.require(parseId(poolId, 'poolId'), ctx)).guard
  } catch (error) {
    if (isAgentError(error, 'POOL_NOT_FOUND')) return undefined
    throw error
  }
}

function chooseFileName(request: DownloadRequest, url: URL): string {
  const { filename, catalogId } = request
  if (catalogId !== '') parseId(catalogId, 'catalogId')
  if (filename !== '') return parseFileName(filename, 'filename')
  if (catalogId !== '') return parseFileName(`${catalogId}.qcow2`, 'catalogId')
  return parseFileName(decodeSegment(path.posix.basename(url.pathname)), 'the last part of the URL')
}

function parseFileName(name: string, field: string): string {
  if (!FILE_NAME.test(name) || name.endsWith(TEMP_SUFFIX)) {
    throw new AgentError(
      'INVALID_NAME',
      `${field}: ${quote(name)} is no file name for an image; use 1 to 180 letters, digits, dots, dashes, plus and underscores`,
    )
  }
  return name
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function refusal(
  request: DownloadRequest,
  directory: string,
  pool: PoolGuard | undefined,
  settings: DownloadSettings,
): string {
  if (pool !== undefined) return `targetDir ${quote(directory)} is not inside pool ${pool.poolId} (${pool.root})`
  const why = request.poolId === '' ? 'no pool is named' : `pool ${request.poolId} has no directory on this host`
  const places = settings.allowedDirs.join(', ') || 'none'
  return `targetDir ${quote(directory)}: ${why}, and it is below no allowed directory (${places})`
}
