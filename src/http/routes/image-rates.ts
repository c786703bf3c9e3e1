import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { RateService } from '../../services/contracts.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { unsigned } from '../schemas.ts'

const NONE = 'bytes per second; 0 = none'

const rateLimits = z.object({
  hostBytesPerSecond: unsigned.meta({ description: `all downloads of this host together, ${NONE}` }),
  pools: z.record(z.string(), unsigned).meta({ description: `all downloads into a pool, by pool id, ${NONE}` }),
})
const limitsOrNone = rateLimits.extend({ pools: rateLimits.shape.pools.default({}) })
const jobChange = z.object({ rateLimitBytesPerSecond: unsigned.meta({ description: `of this job alone, ${NONE}` }) })
const URL = '/api/v1/settings/images/rate-limit'

/** Rate limits of image downloads; running ones follow at once. */
export function imageRateRoutes(rates: RateService): Route[] {
  return [
    route({
      method: 'GET',
      url: URL,
      summary: 'Rate limits of image downloads',
      responses: { 200: rateLimits },
      handle: () => ok(rates.limits()),
    }),
    route({
      method: 'PUT',
      url: URL,
      summary: 'Set the rate limits of image downloads; they outlive the agent',
      body: limitsOrNone,
      responses: { 200: rateLimits },
      async handle({ body }) {
        for (const poolId of Object.keys(body.pools)) parseId(poolId, 'pools')
        await rates.setLimits(body)
        return ok(rates.limits())
      },
    }),
    route({
      method: 'PATCH',
      url: '/api/v1/jobs/:job',
      summary: 'Change the rate limit of an image job that has not ended',
      params: z.object({ job: z.string() }),
      body: jobChange,
      responses: { 204: null },
      async handle({ params, body }) {
        await rates.limitJob(parseId(params.job, 'job'), body.rateLimitBytesPerSecond)
        return noContent
      },
    }),
  ]
}
