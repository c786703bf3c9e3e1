import { AgentError } from '../core/errors.ts'
import { parseId } from '../core/ids.ts'
import type { PoolConfig, PoolFileBatch, PoolFileOrder, PoolFileQuery, PoolInfo, PoolKind } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { fieldChecks } from '../services/request-fields.ts'
import { withRecords } from './encoded-records.ts'
import type { InitStoragePoolRequest__Output } from './gen/limiquantix/node/v1/InitStoragePoolRequest.ts'
import type { ListStoragePoolFilesRequest__Output } from './gen/limiquantix/node/v1/ListStoragePoolFilesRequest.ts'
import type { ListStoragePoolFilesResponse } from './gen/limiquantix/node/v1/ListStoragePoolFilesResponse.ts'
import { StoragePoolFileOrder } from './gen/limiquantix/node/v1/StoragePoolFileOrder.ts'
import { StoragePoolHealth } from './gen/limiquantix/node/v1/StoragePoolHealth.ts'
import type { StoragePoolInfoResponse } from './gen/limiquantix/node/v1/StoragePoolInfoResponse.ts'
import { StoragePoolType } from './gen/limiquantix/node/v1/StoragePoolType.ts'
import { toTimestamp } from './wire-values.ts'

type ConfigMember = 'local' | 'nfs' | 'ceph' | 'iscsi'

// Wire number, and the member of StoragePoolConfig that belongs to the type. LVM has no member in this numbering.
const KINDS: Readonly<Record<number, { kind: PoolKind; member?: ConfigMember }>> = {
  [StoragePoolType.STORAGE_POOL_TYPE_LOCAL_DIR]: { kind: 'LOCAL_DIR', member: 'local' },
  [StoragePoolType.STORAGE_POOL_TYPE_LOCAL_LVM]: { kind: 'LOCAL_LVM' },
  [StoragePoolType.STORAGE_POOL_TYPE_NFS]: { kind: 'NFS', member: 'nfs' },
  [StoragePoolType.STORAGE_POOL_TYPE_CEPH_RBD]: { kind: 'CEPH_RBD', member: 'ceph' },
  [StoragePoolType.STORAGE_POOL_TYPE_CEPH_FS]: { kind: 'CEPH_FS', member: 'ceph' },
  [StoragePoolType.STORAGE_POOL_TYPE_ISCSI]: { kind: 'ISCSI', member: 'iscsi' },
}

/**
 * An InitStoragePool message as a pool configuration; `options` has the fields of the type's sub-message that were given, under their camelCase names.
 * Errors: INVALID_NAME, POOL_TYPE_UNSUPPORTED, POOL_CONFIG_INVALID, naming the proto field.
 */
export function fromInitPoolMessage(message: InitStoragePoolRequest__Output): PoolConfig {
  const poolId = parseId(message.poolId, 'pool_id')
  const type = KINDS[message.type]
  if (type === undefined) {
    const given =
      message.type === 0
        ? 'no type is given (STORAGE_POOL_TYPE_UNSPECIFIED)'
        : `${String(message.type)} is no pool type`
    throw new AgentError('POOL_TYPE_UNSUPPORTED', `type: ${given} for pool ${poolId}`)
  }
  const sub = type.member === undefined ? undefined : message.config?.[type.member]
  return { poolId, kind: type.kind, options: givenFields(sub ?? {}, `config.${type.member ?? ''}`) }
}

// proto3 has no "absent" for plain fields: empty texts and lists mean not given. `_name` keys mark optional fields for the loader.
function givenFields(message: object, prefix: string): Record<string, unknown> {
  const check = fieldChecks('POOL_CONFIG_INVALID')
  const given: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(message as Record<string, unknown>)) {
    const field = `${prefix}.${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`
    if (key.startsWith('_') || value === '' || value === null || (Array.isArray(value) && value.length === 0)) continue
    if (typeof value === 'number') check.integer(value, field, {})
    for (const text of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof text === 'string') checkText(text, field, key, check)
    }
    given[key] = value
  }
  return given
}

function checkText(text: string, field: string, key: string, check: ReturnType<typeof fieldChecks>): void {
  // A password must not be quoted in an error.
  if (key === 'chapPassword') {
    if (/[\0\r\n]/.test(text) || text.length > 255) check.fail(field, 'has a forbidden character or is too long')
    return
  }
  check.text(text, field, { maxBytes: 4095 })
}

/** A pool as InitStoragePool, GetStoragePoolInfo and ListStoragePools answer it. */
export function toPoolMessage(pool: PoolInfo): StoragePoolInfoResponse {
  const { observation } = pool
  return {
    poolId: pool.config.poolId,
    type: StoragePoolType[`STORAGE_POOL_TYPE_${pool.config.kind}`],
    mountPath: pool.mountPath,
    devicePath: pool.devicePath,
    rbdPool: pool.rbdPool,
    totalBytes: toUnsigned(observation.totalBytes),
    availableBytes: toUnsigned(observation.availableBytes),
    usedBytes: toUnsigned(observation.usedBytes),
    volumeCount: toUnsigned(observation.volumeCount),
    health: StoragePoolHealth[`STORAGE_POOL_HEALTH_${observation.health}`],
    healthReason: observation.reason,
    message: observation.message,
    observedAt: toTimestamp(observation.observedAt),
    probeLatencyMs: toUnsigned(observation.probeLatencyMs),
  }
}

const FILE_ORDERS: Readonly<Record<number, PoolFileOrder>> = {
  [StoragePoolFileOrder.STORAGE_POOL_FILE_ORDER_NAME]: 'name',
  [StoragePoolFileOrder.STORAGE_POOL_FILE_ORDER_SIZE]: 'size',
  [StoragePoolFileOrder.STORAGE_POOL_FILE_ORDER_MTIME]: 'mtime',
  [StoragePoolFileOrder.STORAGE_POOL_FILE_ORDER_TYPE]: 'type',
}

/** What a ListStoragePoolFiles message asks for at checked `path`. INVALID_REQUEST for an unknown order. */
export function fromFilesMessage(path: string, message: ListStoragePoolFilesRequest__Output): PoolFileQuery {
  const { offset, limit, descending } = message
  const order = fieldChecks('INVALID_REQUEST').oneOf(message.order, 'order', FILE_ORDERS)
  return { path, offset, order, descending, form: 'proto', ...(limit === 0 ? {} : { limit }) }
}

/** Receivers with the usual limits refuse a message above 4 MiB; the rest is room for framing. */
const MAX_LISTING_BYTES = 4 * 1024 * 1024 - 1024

/** A directory as ListStoragePoolFiles answers it; LISTING_TOO_LARGE instead of an answer that the receiver would refuse. */
export async function toFilesMessage(
  poolId: string,
  { path, limit }: PoolFileQuery,
  batches: AsyncIterable<PoolFileBatch>,
): Promise<ListStoragePoolFilesResponse> {
  const parts: Buffer[] = []
  let bytes = Buffer.byteLength(path)
  let directoryEntries = 0
  for await (const batch of batches) {
    directoryEntries = batch.total
    bytes += batch.bytes.length
    if (bytes > MAX_LISTING_BYTES) throw tooLarge(poolId, path, batch.total)
    parts.push(batch.bytes)
  }
  const rest = { currentPath: path, ...(limit === undefined ? {} : { total: directoryEntries }) }
  return withRecords<ListStoragePoolFilesResponse>(rest, parts)
}

function tooLarge(poolId: string, path: string, total: number): AgentError {
  return new AgentError(
    'LISTING_TOO_LARGE',
    `pool ${poolId}: the directory ${JSON.stringify(path.slice(0, 200))} has ${total} entries, more than one gRPC answer carries; ` +
      `give offset and limit, or use GET /api/v1/storage/pools/${poolId}/files`,
  )
}
