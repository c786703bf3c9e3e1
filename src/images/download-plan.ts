import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { parseId, quote } from '../core/ids.ts'
import type { DiskFormat, DownloadRequest } from '../core/model.ts'
import { parseFetchUrl, type UrlRewrite } from '../platform/fetch-policy.ts'
import type { FetchNetwork } from '../platform/fetch-connection.ts'
import { isInside, parseAbsolutePath, TEMP_SUFFIX } from '../platform/files.ts'
import type { PoolAccess, PoolPlace } from '../storage/pool-access.ts'
import type { PoolGuard } from '../storage/pool-guard.ts'
import { RECORDS_DIRECTORY } from '../storage/pool-marker.ts'
import { volumeNameOfPath } from '../storage/volume-name.ts'
import type { LeaseSettings } from './lease/lease-settings.ts'
import { parseProof, publishedName, requiredProof, type ProofPolicy, type ProofRequest } from './proof/proof-request.ts'
import { localPath, planLocalSource, type LocalSource } from './local-source.ts'
import type { ImageFormatName } from './formats/format.ts'
import { storedName } from './stored-name.ts'
import type { Checksum } from './verify.ts'

/** Rules of downloads, from the configuration. */
export interface DownloadSettings {
  /** Base directories for downloads that belong to no pool. */
  readonly allowedDirs: readonly string[]
  readonly allowPrivateAddresses: boolean
  /** Mirrors that are asked in the place of others. */
  readonly rewrites?: readonly UrlRewrite[]
  /** Proxy and authorities. */
  readonly network?: FetchNetwork
  /** Local directory, private to the agent, for files on their way into volumes. */
  readonly stagingDir: string
  /** A download without a received or durable byte for this long fails. */
  readonly stallTimeoutMs: number
  /** Attempts of a transfer without a new byte go on for this long. */
  readonly patienceMs: number
  /** Downloads at the same time; the rest waits. */
  readonly maxConcurrent: number
  /** The same from one server; absent = no limit of its own. */
  readonly maxPerServer?: number
  /** Connections of one download to its server, unless the request says; absent = 1. */
  readonly connections?: number
  /** The same for single pools, by pool id. */
  readonly connectionsByPool?: Readonly<Record<string, number>>
  /** The least proof of an image. */
  readonly proof: ProofPolicy
  /** How hosts share work on a pool; each works for itself when absent. */
  readonly lease?: LeaseSettings
  /** Directory of the public keys that may sign sums. */
  readonly keyringsDir: string
}

/** A checked request, as the operation persists it. */
export interface DownloadParams {
  readonly imageId: string
  readonly catalogId: string
  readonly url: string
  /** The pool that holds the target; empty for an allowed base directory. */
  readonly poolId: string
  /** As the caller named it, for the job view. */
  readonly requestedPoolId: string
  readonly base: string
  readonly directory: string
  readonly fileName: string
  /** The volume the image becomes, in a pool without files; `directory` is then only how callers name its place. */
  readonly volume?: string
  /** Of the bytes of the source, as the request gives it. */
  readonly checksum?: Checksum
  /** Absent in jobs of earlier versions. */
  readonly proof?: ProofRequest
  /** A file of this host in place of a URL; `url` is then its file:// form. */
  readonly source?: LocalSource
  /** Size of the upload that was made under the id of the job; `url` is then a name for it. */
  readonly uploadBytes?: number
  /** What the caller says the source's format is. */
  readonly sourceFormat?: ImageFormatName
  /** To store it in; absent = by what it is. */
  readonly format?: DiskFormat
  readonly compress?: boolean
  readonly mirrors?: readonly string[]
  /** Connections to its server at the same time, where the request says. */
  readonly connections?: number
  /** Of what the CredentialBook keeps for the job. */
  readonly credentialsKey?: string
}

const MAX_MIRRORS = 16
/** Connections of one download; each has 8 MiB of memory. */
export const MAX_CONNECTIONS = 8
// Room for the suffixes of temp files and manifests within the 255 bytes of a name.
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,179}$/

/**
 * Turns a request into parameters, touching no file system: a known pool must contain the target (a pool without files as a volume), anything else must be below an allowed base directory. Errors: INVALID_REQUEST,
 * INVALID_NAME, INVALID_PATH, URL_REFUSED, SOURCE_REFUSED, CHECKSUM_INVALID, PROOF_REQUIRED, TARGET_REFUSED, POOL_UNAVAILABLE.
 */
export async function planDownload(
  request: DownloadRequest,
  pools: PoolAccess,
  settings: DownloadSettings,
  ctx: OpContext,
): Promise<DownloadParams> {
  const local = localPath(request.url)
  const url = local === undefined ? parseFetchUrl(request.url, settings) : pathToFileURL(local)
  const source = local === undefined ? undefined : await planLocalSource(local, pools, settings.allowedDirs, ctx)
  return planImage(request, url, source === undefined ? {} : { source }, pools, settings, ctx)
}

/** Like planDownload, for an image whose bytes come in another way; `url` names its origin. */
export async function planImage(
  request: DownloadRequest,
  url: URL,
  origin: Pick<DownloadParams, 'source'>,
  pools: PoolAccess,
  settings: DownloadSettings,
  ctx: OpContext,
): Promise<DownloadParams> {
  const fileName = chooseFileName(request, url)
  if (request.format === 'raw' && request.compress === true) {
    throw new AgentError('INVALID_REQUEST', 'compress: a raw disk cannot be compressed; leave out format or compress')
  }
  const given = parseAbsolutePath(request.targetDir, 'targetDir')
  const place = await placeOfTarget(request, given, pools, ctx)
  const common = {
    imageId: request.imageId,
    catalogId: request.catalogId,
    url: url.href,
    requestedPoolId: request.poolId,
    fileName,
    ...origin,
    ...(request.format === undefined ? {} : { format: request.format }),
    ...(request.compress === true ? { compress: true } : {}),
    ...parseMirrors(request, settings),
    ...parseConnections(request),
  }
  // What is asked of the proof is known once the pool is.
  const proven = (poolId: string) => {
    const proof = parseProof(request, publishedName(url), requiredProof(settings.proof, poolId), settings)
    return { proof, ...(proof.checksum === undefined ? {} : { checksum: proof.checksum }) }
  }
  if (place?.pool.backend.mountPath === '') {
    const { poolId } = place.pool.config
    const volume = volumeNameOfPath([place.relative, fileName].filter(Boolean).join('/'))
    return { ...common, ...proven(poolId), poolId, base: settings.stagingDir, directory: given, volume }
  }
  // An alias is answered as the real path.
  const root = place?.pool.guard?.root
  const directory = place === undefined || root === undefined ? given : path.join(root, place.relative)
  const pool = await findPool(request.poolId, directory, pools, ctx)
  const base = pool?.root ?? settings.allowedDirs.find((dir) => isInside(dir, directory))
  if (base !== undefined && isInside(path.join(base, RECORDS_DIRECTORY), directory)) {
    throw new AgentError('TARGET_REFUSED', `targetDir ${quote(directory)} is where the agent keeps its records`)
  }
  if (base === undefined || !isInside(base, directory)) {
    throw new AgentError('TARGET_REFUSED', refusal(request, directory, pool, settings))
  }
  const poolId = pool?.poolId ?? ''
  return { ...common, ...proven(poolId), poolId, base, directory }
}

/** The identity a job checks before it writes, fresh from the pool; undefined without a pool. Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE, TARGET_REFUSED. */
export async function currentGuard(
  params: DownloadParams,
  pools: PoolAccess,
  ctx: OpContext,
): Promise<PoolGuard | undefined> {
  if (params.poolId === '') return undefined
  if (params.volume !== undefined) {
    await pools.require(params.poolId, ctx)
    return undefined
  }
  const { guard } = await pools.require(params.poolId, ctx)
  if (guard === undefined || !isInside(guard.root, params.directory)) {
    throw new AgentError('TARGET_REFUSED', `pool ${params.poolId} no longer has the directory ${params.directory}`)
  }
  return guard
}

// Undefined also for a pool nobody knows: then an allowed directory may hold the target, or the refusal says so.
async function placeOfTarget(
  { poolId }: DownloadRequest,
  directory: string,
  pools: PoolAccess,
  ctx: OpContext,
): Promise<PoolPlace | undefined> {
  try {
    const place = await pools.locate(directory, ctx)
    if (place === undefined || poolId === '' || place.pool.config.poolId === poolId) return place
  } catch (error) {
    if (!isAgentError(error, 'POOL_NOT_FOUND')) throw error
    return undefined
  }
  throw new AgentError('TARGET_REFUSED', `targetDir ${quote(directory)} is not inside pool ${poolId}`)
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

function parseMirrors({ mirrors = [] }: DownloadRequest, settings: DownloadSettings): { mirrors?: readonly string[] } {
  if (mirrors.length > MAX_MIRRORS) throw new AgentError('INVALID_REQUEST', `mirrors: give at most ${MAX_MIRRORS}`)
  return mirrors.length === 0 ? {} : { mirrors: mirrors.map((mirror) => parseFetchUrl(mirror, settings).href) }
}

function parseConnections({ connections }: DownloadRequest): { connections?: number } {
  if (connections === undefined) return {}
  if (Number.isInteger(connections) && connections >= 1 && connections <= MAX_CONNECTIONS) return { connections }
  throw new AgentError('INVALID_REQUEST', `connections: give a whole number from 1 to ${MAX_CONNECTIONS}`)
}

/** How many connections a download may have to its server: what the request says, else its pool, else the host. */
export function connectionsOf({ connections, poolId }: DownloadParams, settings: DownloadSettings): number {
  return connections ?? settings.connectionsByPool?.[poolId] ?? settings.connections ?? 1
}

function chooseFileName(request: DownloadRequest, url: URL): string {
  const { filename, catalogId } = request
  if (catalogId !== '') parseId(catalogId, 'catalogId')
  if (filename !== '') return parseFileName(filename, 'filename')
  if (catalogId !== '') return parseFileName(`${catalogId}.qcow2`, 'catalogId')
  return parseFileName(storedName(publishedName(url)), 'the last part of the URL')
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
