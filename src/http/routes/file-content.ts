import { z } from 'zod'
import { AgentError } from '../../core/errors.ts'
import { parseId } from '../../core/ids.ts'
import type { PoolFileContent } from '../../core/model.ts'
import type { PoolService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { parseRange } from '../byte-range.ts'
import { route, type Route, type RouteAnswer } from '../route.ts'
import { errorBody } from '../status.ts'

const bytes = z.file()
const error = z.object({ error: z.string(), message: z.string() })

/** A file of a pool for GET and HEAD, whole or from a Range on (RFC 9110, 14). */
export function contentRoute(pools: PoolService): Route {
  return route({
    method: 'GET',
    url: '/api/v1/storage/pools/:id/files/content',
    summary: 'The bytes of a file; one Range, If-Range and If-None-Match with its ETag are understood',
    params: z.object({ id: z.string() }),
    query: z.object({ path: z.string() }),
    responses: { 200: bytes, 206: bytes, 304: null, 416: error },
    async handle({ params, query, headers, signal }) {
      const path = fieldChecks('INVALID_PATH').text(query.path, 'path', { maxBytes: 4095, required: true })
      const file = await pools.openFile(parseId(params.id, 'id'), path, signal)
      const text = (name: string) => (typeof headers[name] === 'string' ? headers[name] : undefined)
      return answerWith(file, { range: text('range'), ifRange: text('if-range'), ifNoneMatch: text('if-none-match') })
    },
  })
}

interface Conditions {
  readonly range: string | undefined
  readonly ifRange: string | undefined
  readonly ifNoneMatch: string | undefined
}

function answerWith(file: PoolFileContent, { range, ifRange, ifNoneMatch }: Conditions): RouteAnswer {
  const etag = `"${file.version}"`
  const size = file.sizeBytes
  const headers = {
    etag,
    'accept-ranges': 'bytes',
    'last-modified': new Date(file.modifiedAt).toUTCString(),
    'cache-control': 'no-cache',
  }
  const matches = (ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (matches.includes(etag) || matches.includes('*')) return { status: 304, headers }
  // A date proves too little: it is the same for all changes within a second.
  const asked = ifRange === undefined || ifRange === etag ? parseRange(range, size) : undefined
  if (asked === 'unsatisfiable') {
    const refusal = new AgentError('RANGE_NOT_SATISFIABLE', `range: ${file.name} has ${size} bytes`)
    return { status: 416, headers: { ...headers, 'content-range': `bytes */${size}` }, body: errorBody(refusal) }
  }
  const { first, last } = asked ?? { first: 0, last: size - 1 }
  const length = last - first + 1
  return {
    status: asked === undefined ? 200 : 206,
    contentType: 'application/octet-stream',
    headers: {
      ...headers,
      ...(asked === undefined ? {} : { 'content-range': `bytes ${first}-${last}/${size}` }),
      'content-length': String(length),
      'content-disposition': attachment(file.name),
      // Whatever is in a pool, no browser takes it for a page of this server.
      'x-content-type-options': 'nosniff',
    },
    stream: file.read(first, length),
  }
}

// RFC 6266: a plain name for old clients, the real one in UTF-8.
function attachment(name: string): string {
  const plain = name.replace(/[^\w.+ -]/g, '_')
  const encoded = encodeURIComponent(name.toWellFormed()).replace(/['()*]/g, (char) => {
    return `%${char.charCodeAt(0).toString(16).toUpperCase()}`
  })
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}
