import { z } from 'zod'
import { AgentError } from '../../core/errors.ts'
import type { HostService } from '../../services/contracts.ts'
import { ok, route, type Route } from '../route.ts'
import { errorBody } from '../status.ts'

/** Packages bring new versions of this agent; nothing else is a channel. */
const CHANNEL = 'package'
const ADVICE = 'this agent does not update itself: install a newer package of limiquantix-node on the host'

/** Updates as control planes ask for them: there are none to be had here, and nothing is pretended. */
export function updateRoutes(host: HostService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/updates/check',
      summary: 'Never an update: the package manager of the host has them',
      responses: {
        200: z.object({
          available: z.boolean(),
          currentVersion: z.string(),
          channel: z.string(),
          components: z.array(z.never()),
          fullImageAvailable: z.boolean(),
          totalDownloadSize: z.int(),
        }),
      },
      handle: () =>
        ok({
          available: false,
          currentVersion: host.health().version,
          channel: CHANNEL,
          components: [],
          fullImageAvailable: false,
          totalDownloadSize: 0,
        }),
    }),
    route({
      method: 'GET',
      url: '/api/v1/updates/version',
      summary: 'Version of this agent',
      responses: { 200: z.object({ currentVersion: z.string(), channel: z.string(), hostname: z.string() }) },
      async handle({ signal }) {
        const { hostname } = await host.facts(signal)
        return ok({ currentVersion: host.health().version, channel: CHANNEL, hostname })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/updates/status',
      summary: 'Always idle',
      responses: { 200: z.object({ status: z.literal('idle'), message: z.string() }) },
      handle: () => ok({ status: 'idle', message: ADVICE }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/updates/apply',
      summary: 'Refused with 501',
      responses: { 501: z.object({ error: z.string(), message: z.string() }) },
      handle: () => ({ status: 501, body: errorBody(new AgentError('UNIMPLEMENTED', ADVICE)) }),
    }),
  ]
}
