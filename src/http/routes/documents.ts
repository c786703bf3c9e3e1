import { z } from 'zod'
import type { AuditTrail } from '../../audit/audit-trail.ts'
import type { Services } from '../../services/contracts.ts'
import type { RequestStats } from '../../services/request-stats.ts'
import { ok, route, type Route } from '../route.ts'

/** The OpenAPI document and the metrics page. What makes them is loaded at the first request: neither is needed to serve. */
export function documentRoutes(
  services: Services,
  stats: RequestStats | undefined,
  routes: () => readonly Route[],
  audit?: AuditTrail,
): Route[] {
  let document: Promise<object> | undefined
  let metrics: Promise<() => Promise<string>> | undefined
  return [
    route({
      method: 'GET',
      url: '/api/v1/openapi.json',
      summary: 'This API as an OpenAPI 3.1 document',
      responses: { 200: z.looseObject({ openapi: z.string() }) },
      async handle() {
        document ??= import('../openapi.ts').then((m) => m.buildOpenApi(routes(), services.host.health().version))
        return ok(await document)
      },
    }),
    route({
      method: 'GET',
      url: '/metrics',
      summary: 'Metrics in the Prometheus text format',
      responses: { 200: z.string() },
      async handle() {
        metrics ??= import('../metrics.ts').then((m) => m.createMetrics(services, stats, audit))
        const render = await metrics
        return { status: 200, body: await render(), contentType: 'text/plain; version=0.0.4; charset=utf-8' }
      },
    }),
  ]
}
