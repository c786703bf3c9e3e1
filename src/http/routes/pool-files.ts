import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { PoolFileQuery } from '../../core/model.ts'
import type { PoolService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { contentRoute } from './file-content.ts'
import { noContent, route, type Route } from '../route.ts'
import { queryNumber, time, unsigned } from '../schemas.ts'

const file = z.object({
  name: z.string(),
  path: z.string(),
  isDirectory: z.boolean(),
  sizeBytes: unsigned,
  modifiedAt: time,
  fileType: z.string(),
  permissions: z.string(),
})

const listing = z.object({
  path: z.string(),
  breadcrumbs: z.array(z.object({ name: z.string(), path: z.string() })),
  total: unsigned,
  offset: unsigned,
  entries: z.array(file),
})

const listQuery = z.object({
  path: z.string().default(''),
  offset: queryNumber,
  limit: queryNumber,
  sort: z.enum(['name', 'size', 'mtime', 'type']).default('name'),
  order: z.enum(['asc', 'desc']).default('asc'),
})

const COMMA = Buffer.from(',')

const poolParams = z.object({ id: z.string() })
const poolIdOf = (params: { id: string }) => parseId(params.id, 'id')
const pathOf = (path: string, field = 'path') =>
  fieldChecks('INVALID_PATH').text(path, field, { maxBytes: 4095, required: true })

/** The files of pools. */
export function poolFileRoutes(pools: PoolService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/storage/pools/:id/files',
      summary: 'One directory of a file pool or a part of it, sorted; directories first',
      params: poolParams,
      query: listQuery,
      responses: { 200: listing },
      async handle({ params, query, signal }) {
        const asked = toQuery(query)
        const chunks = await encodeListing(asked, pools.files(poolIdOf(params), asked, signal))
        const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
        const headers = { 'content-length': String(length) }
        return { status: 200, contentType: 'application/json; charset=utf-8', headers, stream: piecewise(chunks) }
      },
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/storage/pools/:id/files',
      summary: 'Delete a file, a link or an empty directory; never what a volume, VM, job or process uses',
      params: poolParams,
      query: z.object({ path: z.string() }),
      responses: { 204: null },
      async handle({ params, query, signal }) {
        await pools.deleteFile(poolIdOf(params), pathOf(query.path), signal)
        return noContent
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/storage/pools/:id/files/mkdir',
      summary: 'Make a directory (201, or 200 when it was there)',
      params: poolParams,
      body: z.object({ path: z.string() }),
      responses: { 201: z.object({ path: z.string() }), 200: z.object({ path: z.string() }) },
      async handle({ params, body, signal }) {
        const { made } = await pools.makeDirectory(poolIdOf(params), pathOf(body.path), signal)
        return { status: made ? 201 : 200, body: { path: body.path } }
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/storage/pools/:id/files/rename',
      summary: 'Rename or move within the pool; nothing is ever replaced',
      params: poolParams,
      body: z.object({ from: z.string(), to: z.string() }),
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await pools.renameFile(poolIdOf(params), pathOf(body.from, 'from'), pathOf(body.to, 'to'), signal)
        return noContent
      },
    }),
    contentRoute(pools),
  ]
}

function toQuery({ path, offset, limit, sort, order }: z.output<typeof listQuery>): PoolFileQuery {
  return {
    path: fieldChecks('INVALID_PATH').text(path, 'path', { maxBytes: 4095 }),
    offset: Number(offset ?? 0),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
    order: sort,
    descending: order === 'desc',
    form: 'json',
  }
}

// Nothing is sent before the end is known, so that a pool that hangs in between is an error and not half an answer.
async function encodeListing(query: PoolFileQuery, batches: ReturnType<PoolService['files']>): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const batch of batches) {
    total = batch.total
    if (batch.bytes.length === 0) continue
    if (chunks.length > 0) chunks.push(COMMA)
    chunks.push(batch.bytes)
  }
  const { path, offset } = query
  const head = JSON.stringify({ path, breadcrumbs: breadcrumbs(path), total, offset })
  return [Buffer.from(`${head.slice(0, -1)},"entries":[`), ...chunks, Buffer.from(']}')]
}

async function* piecewise(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks
}

function breadcrumbs(path: string): { name: string; path: string }[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  const crumbs = parts.map((name, index) => ({ name, path: parts.slice(0, index + 1).join('/') }))
  return [{ name: '/', path: '' }, ...crumbs]
}
