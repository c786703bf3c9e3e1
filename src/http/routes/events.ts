import { z } from 'zod'
import { EVENT_KINDS, matchesEvent, type EventFilter, type NodeEvent, type NodeEventType } from '../../core/events.ts'
import { parseUuid } from '../../core/ids.ts'
import { neutralise } from '../../core/wire-text.ts'
import type { EventService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { eventStream, type ServerEvent } from '../event-stream.ts'
import { ok, route, type Route } from '../route.ts'
import { queryNumber, time, toTime, unsigned } from '../schemas.ts'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 5000
const EVENT_STREAM = 'text/event-stream'

/** Numbers leave gaps at each start of the agent, and have up to 15 digits. */
const eventNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'must be the number of an event')
  .optional()

const filterQuery = {
  vm: z.string().optional().meta({ description: 'id of a VM' }),
  level: z.enum(['info', 'warning', 'error']).optional().meta({ description: 'at least this' }),
  category: z.enum(['vm', 'storage', 'guest', 'node']).optional(),
  type: z.string().optional().meta({ description: 'such as IO_ERROR' }),
}
const listQuery = z.object({
  ...filterQuery,
  limit: queryNumber,
  after: eventNumber.meta({ description: 'number of an event: the first ones after it, instead of the newest' }),
})

const event = z.object({
  eventId: z.string(),
  timestamp: time,
  level: z.enum(['info', 'warning', 'error']),
  category: z.enum(['vm', 'storage', 'guest', 'node']),
  message: z.string(),
  source: z.string(),
  details: z.record(z.string(), z.string()),
  type: z.string(),
  vmId: z.string(),
})

/** What happened on this host. */
export function eventRoutes(events: EventService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/events',
      summary: 'What happened on this host, oldest first: the newest that are wanted, or the first after a number',
      query: listQuery,
      responses: { 200: z.object({ events: z.array(event), totalCount: unsigned }) },
      handle({ query }) {
        const limit = Math.min(Number(query.limit ?? DEFAULT_LIMIT), MAX_LIMIT)
        const found = events.list(toFilter(query), limit, query.after === undefined ? undefined : Number(query.after))
        return ok({ events: found.map(toEventBody), totalCount: found.length })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/events/stream',
      summary:
        'Events as they happen, as server-sent events; Last-Event-ID (or after) goes on where a connection broke',
      query: z.object({ ...filterQuery, after: eventNumber }),
      responses: { 200: z.string().meta({ contentMediaType: EVENT_STREAM }) },
      handle({ query, headers, signal }) {
        const last = headers['last-event-id'] ?? query.after
        const after = typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : undefined
        return {
          status: 200,
          contentType: EVENT_STREAM,
          headers: { 'cache-control': 'no-cache', 'x-accel-buffering': 'no', connection: 'close' },
          stream: eventStream(serverEvents(events.read(signal, after), toFilter(query)), signal),
          live: true,
        }
      },
    }),
  ]
}

async function* serverEvents(events: AsyncIterable<NodeEvent>, filter: EventFilter): AsyncGenerator<ServerEvent> {
  for await (const one of events)
    if (matchesEvent(filter, one)) yield { id: one.id, event: 'event', data: toEventBody(one) }
}

function toFilter({ vm, level, category, type }: z.output<z.ZodObject<typeof filterQuery>>): EventFilter {
  const check = fieldChecks('INVALID_REQUEST')
  if (type !== undefined && !Object.hasOwn(EVENT_KINDS, type)) check.fail('type', 'is no type of event')
  return {
    ...(vm === undefined ? {} : { vmId: parseUuid(vm, 'vm') }),
    ...(level === undefined ? {} : { level }),
    ...(category === undefined ? {} : { category }),
    ...(type === undefined ? {} : { type: type as NodeEventType }),
  }
}

function toEventBody({ id, timestamp, type, vmId, message, metadata }: NodeEvent): z.input<typeof event> {
  const { level, category } = EVENT_KINDS[type]
  return {
    eventId: id,
    timestamp: toTime(timestamp),
    level,
    category,
    message: neutralise(message),
    source: 'limiquantix-node',
    details: { ...metadata },
    type,
    vmId,
  }
}
