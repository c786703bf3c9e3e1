import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import {
  placeOf,
  type CreateVolumeRequest,
  type UsedVolume,
  type VolumeOrigin,
  type VolumeSnapshot,
} from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import type { VolumeService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalCount, optionalText, time, toTime, unsigned } from '../schemas.ts'

const ORIGINS = ['empty', 'volume', 'image', 'snapshot'] as const satisfies VolumeOrigin['type'][]
const FORMATS = ['qcow2', 'raw'] as const

const createRequest = z.object({
  volumeId: z.string(),
  sizeBytes: optionalCount.meta({ description: '0 or absent: as large as the source' }),
  format: z.enum(FORMATS).nullish(),
  sourceType: z.enum(ORIGINS).nullish(),
  sourceId: optionalText,
})

const volume = z.object({
  volumeId: z.string(),
  poolId: z.string(),
  sizeBytes: unsigned,
  allocatedBytes: unsigned,
  format: z.enum(FORMATS),
  path: z.string(),
  attachedTo: z.string().nullable().meta({ description: 'who refers to the volume, separated by commas' }),
  usersKnown: z.boolean().meta({ description: 'false while it cannot be told who refers to the volume' }),
})

const snapshot = z.object({ snapshotId: z.string(), createdAt: time })
const attachInfo = z.object({ volumeId: z.string(), path: z.string(), diskXml: z.string() })

const POOL = '/api/v1/storage/pools/:id/volumes'
const VOLUME = `${POOL}/:volume`
const poolParams = z.object({ id: z.string() })
const volumeParams = z.object({ id: z.string(), volume: z.string() })
const snapshotParams = z.object({ id: z.string(), volume: z.string(), snapshot: z.string() })
const poolIdOf = (params: { id: string }) => parseId(params.id, 'id')

/** Volumes of a pool and their snapshots. A slash in a volume id is written %2F. */
export function volumeRoutes(volumes: VolumeService): Route[] {
  return [
    route({
      method: 'GET',
      url: POOL,
      summary: 'Every volume of a pool that the agent made, with who uses it',
      params: poolParams,
      responses: { 200: z.object({ volumes: z.array(volume) }) },
      handle: async ({ params, signal }) =>
        ok({ volumes: (await volumes.list(poolIdOf(params), signal)).map(toVolumeBody) }),
    }),
    route({
      method: 'POST',
      url: POOL,
      summary: 'Make a volume: empty, or from a volume, image or snapshot; the same again is success',
      params: poolParams,
      body: createRequest,
      responses: { 200: volume },
      handle: async ({ params, body, signal }) =>
        ok(toVolumeBody({ ...(await volumes.create(toRequest(poolIdOf(params), body), signal)), users: [] })),
    }),
    route({
      method: 'DELETE',
      url: VOLUME,
      summary: 'Delete a volume that nobody uses, with its snapshots',
      params: volumeParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await volumes.delete(poolIdOf(params), params.volume, signal)
        return noContent
      },
    }),
    route({
      method: 'POST',
      url: `${VOLUME}/resize`,
      summary: 'Grow a volume, under a running VM too',
      params: volumeParams,
      body: z.object({ sizeBytes: z.int().positive() }),
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await volumes.resize(poolIdOf(params), params.volume, body.sizeBytes, signal)
        return noContent
      },
    }),
    route({
      method: 'GET',
      url: `${VOLUME}/attach-info`,
      summary: 'How a volume is attached to a VM',
      params: volumeParams,
      responses: { 200: attachInfo },
      handle: async ({ params, signal }) =>
        ok({
          volumeId: params.volume,
          ...(await volumes.attachInfo(poolIdOf(params), params.volume, signal)),
        }),
    }),
    route({
      method: 'GET',
      url: `${VOLUME}/snapshots`,
      summary: 'The snapshots of a volume, oldest first',
      params: volumeParams,
      responses: { 200: z.object({ snapshots: z.array(snapshot) }) },
      handle: async ({ params, signal }) =>
        ok({
          snapshots: (await volumes.listSnapshots(poolIdOf(params), params.volume, signal)).map(toSnapshotBody),
        }),
    }),
    route({
      method: 'POST',
      url: `${VOLUME}/snapshots`,
      summary: 'Keep a volume as it is now; the same again is success',
      params: volumeParams,
      body: z.object({ snapshotId: z.string() }),
      responses: { 200: snapshot },
      handle: async ({ params, body, signal }) =>
        ok(toSnapshotBody(await volumes.createSnapshot(poolIdOf(params), params.volume, body.snapshotId, signal))),
    }),
    route({
      method: 'DELETE',
      url: `${VOLUME}/snapshots/:snapshot`,
      summary: 'Forget a snapshot',
      params: snapshotParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await volumes.deleteSnapshot(poolIdOf(params), params.volume, params.snapshot, signal)
        return noContent
      },
    }),
  ]
}

function toRequest(poolId: string, body: z.output<typeof createRequest>): CreateVolumeRequest {
  const { volumeId, sizeBytes } = body
  const check = fieldChecks('INVALID_REQUEST')
  const type = body.sourceType ?? 'empty'
  const base = { poolId, volumeId, sizeBytes, ...(body.format ? { format: body.format } : {}) }
  if (type === 'empty') return { ...base, origin: { type } }
  return { ...base, origin: { type, id: check.text(body.sourceId, 'sourceId', { maxBytes: 4095, required: true }) } }
}

function toVolumeBody(each: UsedVolume): z.input<typeof volume> {
  const { users = [] } = each
  return {
    volumeId: each.name,
    poolId: each.poolId,
    sizeBytes: toUnsigned(each.virtualSizeBytes),
    allocatedBytes: toUnsigned(each.allocatedBytes),
    format: each.format,
    path: placeOf(each.source),
    attachedTo: users.length === 0 ? null : users.join(', '),
    usersKnown: each.users !== undefined,
  }
}

function toSnapshotBody({ name, createdAt }: VolumeSnapshot): z.input<typeof snapshot> {
  return { snapshotId: name, createdAt: toTime(createdAt) }
}
