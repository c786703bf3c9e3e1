import { silentLogger } from '../../../src/core/context.ts'
import { startHttpServer, type HttpServer } from '../../../src/http/server.ts'
import { createRequestStats, type RequestStats } from '../../../src/services/request-stats.ts'
import type { AuditTrail } from '../../../src/audit/audit-trail.ts'
import { fakeServices, type FakeServices, type Overrides } from '../grpc/fake-services.ts'

export interface HttpRig extends AsyncDisposable {
  readonly services: FakeServices
  readonly server: HttpServer
  readonly stats: RequestStats
  /** Sends a request; an object body goes as JSON. */
  fetch(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
  readonly json: unknown
}

/** A real HTTP server on loopback over fake services. */
export async function startHttpRig(overrides: Overrides = {}, audit?: AuditTrail): Promise<HttpRig> {
  const services = fakeServices(overrides)
  const stats = createRequestStats()
  const server = await startHttpServer({
    services,
    listen: { host: '127.0.0.1', port: 0 },
    log: silentLogger,
    stats,
    ...(audit === undefined ? {} : { audit }),
  })
  return {
    services,
    server,
    stats,
    async fetch(method, path, body, headers = {}) {
      const raw = typeof body === 'string' || body instanceof FormData
      const response = await fetch(`${server.address}${path}`, {
        method,
        headers: { ...(body === undefined || raw ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      const type = response.headers.get('content-type') ?? ''
      return {
        status: response.status,
        type,
        text,
        json: type.startsWith('application/json') ? JSON.parse(text) : undefined,
      }
    },
    async [Symbol.asyncDispose]() {
      await server.close(100)
    },
  }
}
