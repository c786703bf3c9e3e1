import { z } from 'zod'
import { parseUuid } from '../../core/ids.ts'
import type { Reason } from '../../core/reasons.ts'
import { parseAbsolutePath } from '../../platform/files.ts'
import { monotonicMs } from '../../platform/clock.ts'
import type { GuestService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { ok, route, type Route } from '../route.ts'
import * as bodies from './guest-bodies.ts'
import { guestAnswer } from './guest-failures.ts'

const DEFAULT_LINES = 100
const MAX_LINES = 1000
/** Control planes allow 30, and wait no longer than that for the whole answer. */
const MAX_EXECUTE_SECONDS = 25
const MAX_COMMAND_BYTES = 64 * 1024

const vmParams = z.object({ id: z.string() })
const idOf = (params: { id: string }) => parseUuid(params.id, 'id')
const linesQuery = z.object({
  lines: z.coerce
    .number()
    .int()
    .nonnegative()
    .optional()
    .meta({ description: `${DEFAULT_LINES} when not given, at most ${MAX_LINES}` }),
})
// None is no wish: 0 stands for the default.
const linesOf = ({ lines = 0 }: { lines?: number | undefined }) =>
  lines === 0 ? DEFAULT_LINES : Math.min(lines, MAX_LINES)
// Proxies send `{}`, keys of other versions, or nothing.
const anyBody = z.looseObject({}).nullish()

/** What is inside VMs: their logs, and what their QEMU guest agent does. Trouble of a guest is 200 with `success` or `connected` false. */
export function guestRoutes(guests: GuestService): Route[] {
  return [
    ...statusRoutes(guests),
    ...powerRoutes(guests),
    ...installRoutes(guests),
    ...fileRoutes(guests),
    execute(guests),
  ]
}

function statusRoutes(guests: GuestService): Route[] {
  const facts = (params: { id: string }, signal: AbortSignal) =>
    guestAnswer<z.infer<typeof bodies.agentPingBody>>(
      async () => bodies.toAgentPingBody(await guests.facts(idOf(params), signal)),
      (error) => ({ connected: false, error }),
    )
  return [
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/logs',
      summary: "The end of QEMU's log of a VM",
      params: vmParams,
      query: linesQuery,
      responses: { 200: bodies.vmLogsBody },
      async handle({ params, query, signal }) {
        const vmId = idOf(params)
        return ok(bodies.toVmLogsBody(vmId, await guests.log(vmId, linesOf(query), signal)))
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/agent/ping',
      summary: 'What the guest tells of itself through its agent',
      params: vmParams,
      responses: { 200: bodies.agentPingBody },
      handle: ({ params, signal }) => facts(params, signal),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/agent/refresh',
      summary: 'The same, read anew (it always is)',
      params: vmParams,
      body: anyBody,
      responses: { 200: bodies.agentPingBody },
      handle: ({ params, signal }) => facts(params, signal),
    }),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/agent/logs',
      summary: "The end of the log of the guest's agent",
      params: vmParams,
      query: linesQuery,
      responses: { 200: bodies.agentLogsBody },
      handle: ({ params, query, signal }) =>
        guestAnswer<z.infer<typeof bodies.agentLogsBody>>(
          async () => ({ success: true, lines: await guests.agentLog(idOf(params), linesOf(query), signal) }),
          (error) => ({ success: false, lines: [], error }),
        ),
    }),
  ]
}

function powerRoutes(guests: GuestService): Route[] {
  const power = (what: 'shutdown' | 'reboot', word: string) =>
    route({
      method: 'POST',
      url: `/api/v1/vms/:id/agent/${what}`,
      summary: `Ask the guest to ${word}, through its agent`,
      params: vmParams,
      body: anyBody,
      responses: { 200: bodies.actionBody },
      handle: ({ params, signal }) =>
        guestAnswer<z.infer<typeof bodies.actionBody>>(
          async () => {
            await guests.power(idOf(params), what, signal)
            return { success: true, message: `the guest was asked to ${word}` }
          },
          (error) => ({ success: false, message: `the guest could not be asked to ${word}`, error }),
        ),
    })
  return [power('shutdown', 'shut down'), power('reboot', 'reboot')]
}

// What keeps an ISO out of a drive is for people to read.
const OF_THE_MEDIUM: readonly Reason[] = [
  'AGENT_ISO_MISSING',
  'CDROM_NOT_FOUND',
  'CDROM_LOCKED',
  'CONFLICT',
  'FILE_NOT_FOUND',
  'INVALID_PATH',
  'POOL_UNAVAILABLE',
]

// There is no agent of our own for guests: the QEMU guest agent, which systems bring as a package, does its work.
function installRoutes(guests: GuestService): Route[] {
  const PACKAGE = 'install the package qemu-guest-agent in the guest and start its service'
  return [
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/agent/install',
      summary: 'Success when the guest has an agent; this node installs none',
      params: vmParams,
      body: z.looseObject({ force: z.boolean().nullish() }).nullish(),
      responses: { 200: bodies.actionBody.extend({ method: z.string() }) },
      handle: ({ params, signal }) =>
        guestAnswer<z.infer<typeof bodies.actionBody> & { method: string }>(
          async () => {
            const { version } = await guests.facts(idOf(params), signal)
            const message = `the QEMU guest agent ${version} answers in this VM; nothing was installed`
            return { success: true, message, method: 'qemu-guest-agent' }
          },
          (why) => ({
            success: false,
            message: 'this node does not install agents into guests',
            error: `${why}; ${PACKAGE}`,
            method: 'none',
          }),
        ),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/agent/update',
      summary: 'Never a success: packages of the guest update its agent',
      params: vmParams,
      body: z.looseObject({ targetVersion: z.string().nullish() }).nullish(),
      responses: { 200: bodies.actionBody.extend({ newVersion: z.string().optional() }) },
      handle: ({ params, signal }) =>
        guestAnswer<z.infer<typeof bodies.actionBody>>(
          async () => {
            const { version } = await guests.facts(idOf(params), signal)
            const error = `the QEMU guest agent ${version} is a package of the guest: update it with the package manager there`
            return { success: false, message: 'this node does not update agents in guests', error }
          },
          (error) => ({ success: false, message: 'this node does not update agents in guests', error }),
        ),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/cdrom/mount-agent-iso',
      summary: 'Put the ISO with guest agents of this node into a CD-ROM drive, now and for the next start',
      params: vmParams,
      body: anyBody,
      responses: {
        200: bodies.actionBody.extend({ isoPath: z.string().optional(), device: z.string().optional() }),
      },
      handle: ({ params, signal }) =>
        guestAnswer<z.infer<typeof bodies.actionBody> & { isoPath?: string; device?: string }>(
          async () => {
            const { isoPath, device } = await guests.mountAgentIso(idOf(params), signal)
            return { success: true, message: `${isoPath} is in drive ${device}`, isoPath, device }
          },
          (error) => ({ success: false, message: 'nothing was mounted', error }),
          OF_THE_MEDIUM,
        ),
    }),
  ]
}

function fileRoutes(guests: GuestService): Route[] {
  const pathOf = (text: string) => parseAbsolutePath(text, 'path')
  return [
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/agent/files/list',
      summary: 'A directory of a guest; of one that is too large a part, and `error` says so',
      params: vmParams,
      query: z.object({ path: z.string().optional(), include_hidden: z.stringbool().optional() }),
      responses: { 200: bodies.listFilesBody },
      handle: ({ params, query, signal }) => {
        const path = query.path === undefined || query.path === '' ? '/' : query.path
        return guestAnswer<z.infer<typeof bodies.listFilesBody>>(
          async () => {
            const { entries, complete } = await guests.listFiles(idOf(params), pathOf(path), signal)
            const shown = entries.filter(({ name }) => query.include_hidden === true || !name.startsWith('.'))
            const error = complete ? {} : { error: 'the directory has more entries than one answer carries' }
            return { success: true, path, entries: shown.map(bodies.toDirectoryEntry), ...error }
          },
          (error) => ({ success: false, path, entries: [], error }),
        )
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/agent/files/read',
      summary: 'A file of a guest as base64, up to 4 MiB',
      params: vmParams,
      query: z.object({ path: z.string() }),
      responses: { 200: bodies.readFileBody },
      handle: ({ params, query: { path }, signal }) =>
        guestAnswer<z.infer<typeof bodies.readFileBody>>(
          async () => {
            const content = await guests.readFile(idOf(params), pathOf(path), signal)
            return { success: true, path, content: content.toString('base64'), sizeBytes: content.length }
          },
          (error) => ({ success: false, path, error }),
        ),
    }),
  ]
}

function execute(guests: GuestService): Route {
  return route({
    method: 'POST',
    url: '/api/v1/vms/:id/execute',
    summary: 'Run a command line in the shell of a guest',
    params: vmParams,
    body: z.object({
      command: z.string(),
      timeoutSeconds: z
        .int()
        .nonnegative()
        .nullish()
        .meta({ description: `${MAX_EXECUTE_SECONDS} when 0 or not given, and at most` }),
      waitForExit: z.boolean().nullish().meta({ description: 'true when not given' }),
    }),
    responses: { 200: bodies.executeBody },
    handle({ params, body, signal }) {
      const command = fieldChecks('INVALID_REQUEST').text(body.command, 'command', {
        maxBytes: MAX_COMMAND_BYTES,
        required: true,
        multiline: true,
      })
      const seconds = Math.min(body.timeoutSeconds || MAX_EXECUTE_SECONDS, MAX_EXECUTE_SECONDS)
      const timeoutMs = body.waitForExit === false ? undefined : seconds * 1000
      const began = monotonicMs()
      const durationMs = () => Math.round(monotonicMs() - began)
      return guestAnswer<z.infer<typeof bodies.executeBody>>(
        async () => {
          const { truncated, ...result } = await guests.shell(idOf(params), command, timeoutMs, signal)
          const error = result.timedOut
            ? `the command did not end within ${seconds} s; it goes on in the guest`
            : truncated
              ? bodies.OUTPUT_CUT
              : undefined
          const success = !result.timedOut && (timeoutMs === undefined || result.exitCode === 0)
          return { success, ...result, durationMs: durationMs(), ...(error === undefined ? {} : { error }) }
        },
        (error) => ({
          success: false,
          exitCode: -1,
          stdout: '',
          stderr: '',
          timedOut: false,
          durationMs: durationMs(),
          error,
        }),
      )
    },
  })
}
