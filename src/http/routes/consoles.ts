import { z } from 'zod'
import { bridge } from '../../consoles/bridge.ts'
import { parseUuid } from '../../core/ids.ts'
import type { ConsoleService } from '../../services/contracts.ts'
import { ok, route, type Route } from '../route.ts'

const DEFAULT_LINES = 100
const MAX_LINES = 10_000

const vmParams = z.object({ id: z.string() })
const vmIdOf = (params: { id: string }) => parseUuid(params.id, 'id')
const password = z.string().meta({ description: 'what the display asks for; empty when it asks for nothing' })

/** Consoles of VMs. */
export function consoleRoutes(consoles: ConsoleService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/console',
      summary: 'Open a TCP relay to the VNC display for one connection from the address that asks, within 30 s',
      changes: true,
      params: vmParams,
      responses: {
        200: z.object({
          consoleType: z.literal('vnc'),
          host: z.string(),
          port: z.int(),
          password,
          websocketPath: z.string().meta({ description: 'always empty: POST console/tickets gives one' }),
        }),
      },
      async handle({ params, peer, signal }) {
        const { type, host, port, password: asked } = await consoles.open(vmIdOf(params), peer, signal)
        return ok({ consoleType: type, host, port, password: asked, websocketPath: '' })
      },
    }),
    ...webSocketRoutes(consoles),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/console/log',
      summary: 'The end of what the guest wrote to its first serial port, also when it is off',
      params: vmParams,
      query: z.object({
        lines: z.coerce
          .number()
          .int()
          .nonnegative()
          .optional()
          .meta({ description: `${DEFAULT_LINES} when not given, at most ${MAX_LINES}, of the last MiB` }),
      }),
      responses: {
        200: z.object({
          vmId: z.string(),
          vmName: z.string(),
          consoleLog: z.string(),
          logPath: z.string(),
          logSizeBytes: z.int(),
          linesReturned: z.int(),
          truncated: z.boolean(),
          lastModified: z.string().optional(),
        }),
      },
      async handle({ params, query, signal }) {
        const vmId = vmIdOf(params)
        const lines = Math.min(query.lines || DEFAULT_LINES, MAX_LINES)
        const log = await consoles.log(vmId, lines, signal)
        return ok({
          vmId,
          vmName: log.vmName,
          consoleLog: log.text,
          logPath: log.path,
          logSizeBytes: log.sizeBytes,
          linesReturned: log.lines,
          truncated: log.truncated,
          ...(log.modifiedAt === undefined ? {} : { lastModified: new Date(log.modifiedAt).toISOString() }),
        })
      },
    }),
  ]
}

function webSocketRoutes(consoles: ConsoleService): Route[] {
  return [
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/console/tickets',
      summary: 'A ticket for one console connection over WebSocket, good for 30 s',
      params: vmParams,
      body: z.object({
        kind: z.enum(['vnc', 'serial']),
        force: z
          .boolean()
          .nullish()
          .meta({ description: 'serial: take the console from whoever has it (else 409 console_busy)' }),
      }),
      responses: {
        201: z.object({
          ticket: z.string(),
          websocketPath: z.string().meta({ description: 'path and query of the WebSocket, with the ticket in it' }),
          expiresInSeconds: z.int(),
          password,
        }),
      },
      async handle({ params, body, signal }) {
        const vmId = vmIdOf(params)
        const use = { vmId, kind: body.kind, force: body.force === true }
        const { ticket, lifeMs, password: asked } = await consoles.issueTicket(use, signal)
        const websocketPath = `/api/v1/vms/${vmId}/console/ws?ticket=${ticket}`
        return { status: 201, body: { ticket, websocketPath, expiresInSeconds: lifeMs / 1000, password: asked } }
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/console/ws',
      summary: 'The console of a ticket over WebSocket: its bytes in binary messages (subprotocol binary, or none)',
      changes: true,
      // Whoever has the ticket may use it in any page.
      upgrades: true,
      params: vmParams,
      query: z.object({ ticket: z.string().max(200) }),
      responses: { 101: null },
      async handle({ params, query, signal }) {
        const { stream } = await consoles.connect(vmIdOf(params), query.ticket, signal)
        return { status: 101, upgrade: { use: (peer) => bridge(peer, stream), abandon: () => stream.destroy() } }
      },
    }),
  ]
}
