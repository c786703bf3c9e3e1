import { z } from 'zod'
import { parseUuid } from '../../core/ids.ts'
import {
  aliveSchema,
  checkSchema,
  consoleTailSchema,
  cookieSchema,
  filesSchema,
  offerSchema,
  openedSchema,
  outcomeSchema,
  preparedSchema,
  uuidSchema,
  xmlSchema,
} from '../../domains/migration/message-schemas.ts'
import { INCOMING_ROUTES } from '../../domains/migration/remote-target.ts'
import type { MigrationService } from '../../services/contracts.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalFlag, time, toTime } from '../schemas.ts'

const vmParams = z.object({ id: z.string() })

const migrateBody = z.object({
  target: z.string().min(1).max(1024).meta({ description: 'URL of the HTTP listener of the other agent, or its host' }),
  live: z.boolean().nullish().meta({ description: 'false: the guest stands still meanwhile' }),
  copyStorage: optionalFlag.meta({ description: 'copy the disks that the other host does not see' }),
  bandwidthMibps: z.int().positive().max(1_000_000).optional(),
  maxDowntimeMs: z.int().positive().max(600_000).optional(),
  autoConverge: z.boolean().optional(),
  postCopyAfterMs: z.int().nonnegative().max(86_400_000).optional(),
})

const id = uuidSchema

/** Moving VMs: what people and programs ask, and what the agent at the other end does. */
export function migrationRoutes(migrations: MigrationService): Route[] {
  const requestOf = (params: { id: string }, body: z.output<typeof migrateBody>) => {
    const { target, live, copyStorage, ...options } = body
    return { vmId: parseUuid(params.id, 'id'), target, live: live ?? true, copyStorage, options }
  }
  return [
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/migrate/check',
      summary: 'What keeps a VM from being moved to another host; nothing is changed',
      params: vmParams,
      body: migrateBody,
      responses: { 200: z.object({ problems: z.array(z.string()) }) },
      handle: async ({ params, body, signal }) =>
        ok({ problems: await migrations.check(requestOf(params, body), signal) }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/migrate',
      summary:
        'Move a VM to another host, running or off; the job tells how far it is, and ends it when it is cancelled',
      params: vmParams,
      body: migrateBody,
      responses: { 202: z.object({ jobId: z.string() }) },
      handle: async ({ params, body, signal }) => ({
        status: 202,
        body: await migrations.start(requestOf(params, body), signal),
      }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/migrations/announce',
      summary: 'Announce a VM that is to come to this host',
      body: z.object({ vmId: z.string() }),
      responses: { 200: z.object({ token: z.string(), vmId: z.string(), expiresAt: time }) },
      async handle({ body, signal }) {
        const { token, vmId, expiresAt } = await migrations.announce(body.vmId, signal)
        return ok({ token, vmId, expiresAt: toTime(expiresAt) })
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/migrations/receive',
      summary: 'Let an announced VM in',
      body: z.object({ vmId: z.string(), token: z.string() }),
      responses: { 204: null },
      handle({ body }) {
        migrations.receive(body.token, body.vmId)
        return noContent
      },
    }),
    ...incomingRoutes(migrations),
  ]
}

function incomingRoutes({ target }: MigrationService): Route[] {
  const offered = z.object({ offer: offerSchema })
  return [
    route({
      method: 'POST',
      url: INCOMING_ROUTES.check,
      summary: 'Between agents: judge a VM that is to come; nothing is changed',
      body: offered,
      responses: { 200: checkSchema },
      handle: async ({ body, signal }) => ok(await target.check(body.offer, signal)),
    }),
    route({
      method: 'POST',
      url: INCOMING_ROUTES.open,
      summary: 'Between agents: make room for a VM',
      body: offered.extend({ files: filesSchema }),
      responses: { 200: openedSchema },
      handle: async ({ body, signal }) => ok(await target.open(body.offer, body.files, signal)),
    }),
    route({
      method: 'POST',
      url: INCOMING_ROUTES.prepare,
      summary: 'Between agents: start a QEMU that waits for the guest',
      body: z.object({ id, xml: xmlSchema, cookie: cookieSchema, flags: z.int().nonnegative() }),
      responses: { 200: preparedSchema },
      handle: async ({ body: { id, ...call }, signal }) => ok(await target.prepare(id, call, signal)),
    }),
    route({
      method: 'POST',
      url: INCOMING_ROUTES.alive,
      summary: 'Between agents: the source of a migration is there',
      // Every few seconds, and nothing comes of it.
      changes: false,
      body: z.object({ id }),
      responses: { 200: aliveSchema },
      handle: async ({ body, signal }) => ok({ alive: await target.alive(body.id, signal) }),
    }),
    route({
      method: 'POST',
      url: INCOMING_ROUTES.finish,
      summary: 'Between agents: let the guest run here, or end the migration; the answer is how it ended',
      body: z.object({ id, vmId: id, cookie: cookieSchema.optional(), consoleTail: consoleTailSchema.optional() }),
      responses: { 200: outcomeSchema },
      handle: async ({ body, signal }) =>
        ok(await target.finish(body.id, body.vmId, body.cookie, signal, body.consoleTail)),
    }),
  ]
}
