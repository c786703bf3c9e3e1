import { z } from 'zod'
import { AgentError, isAgentError, toAgentError } from '../../core/errors.ts'
import { parseUuid } from '../../core/ids.ts'
import type { VmInfo } from '../../core/model.ts'
import type { VmService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { createVmBody, fromCreateVmBody, toVmBody, vmBody } from './vm-bodies.ts'

const DEFAULT_STOP_SECONDS = 30
const DEFAULT_EXEC_SECONDS = 30

const vmParams = z.object({ id: z.string() })
const vmIdOf = (params: { id: string }) => parseUuid(params.id, 'id')
const stopBody = z.object({ timeoutSeconds: z.int().nonnegative().max(3600).nullish() }).nullish()

type Power = (vmId: string, signal: AbortSignal) => Promise<void>

/** VMs and their power. */
export function vmRoutes(vms: VmService): Route[] {
  const power = (word: string, summary: string, act: Power) =>
    route({
      method: 'POST',
      url: `/api/v1/vms/:id/${word}`,
      summary,
      params: vmParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await act(vmIdOf(params), signal)
        return noContent
      },
    })
  return [
    route({
      method: 'GET',
      url: '/api/v1/vms',
      summary: 'Every domain of this host',
      responses: { 200: z.object({ vms: z.array(vmBody) }) },
      handle: async ({ signal }) => ok({ vms: (await vms.list(signal)).map(toVmBody) }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms',
      summary: 'Make a VM (it is off afterwards): 201, or 200 when the same VM was here before',
      body: createVmBody,
      responses: { 200: vmBody, 201: vmBody },
      async handle({ body, signal }) {
        const { vmId, created } = await vms.create(fromCreateVmBody(body), signal)
        return { status: created ? 201 : 200, body: toVmBody(await madeVm(vms, vmId, signal)) }
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id',
      summary: 'One VM',
      params: vmParams,
      responses: { 200: vmBody },
      handle: async ({ params, signal }) => ok(toVmBody(await vms.status(vmIdOf(params), signal))),
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/vms/:id',
      summary: 'Power off and remove a VM with the volumes made for it; success when it is gone',
      params: vmParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await vms.delete(vmIdOf(params), signal)
        return noContent
      },
    }),
    power('start', 'Start', (vmId, signal) => vms.start(vmId, signal)),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/stop',
      summary: 'Ask the guest to shut down and wait; 504 leaves it running',
      params: vmParams,
      body: stopBody,
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await vms.stop(vmIdOf(params), body?.timeoutSeconds || DEFAULT_STOP_SECONDS, signal)
        return noContent
      },
    }),
    power('force-stop', 'Cut the power', (vmId, signal) => vms.forceStop(vmId, signal)),
    power('reboot', 'Ask the guest to reboot', (vmId, signal) => vms.reboot(vmId, signal)),
    power('pause', 'Suspend the vCPUs', (vmId, signal) => vms.pause(vmId, signal)),
    power('resume', 'Let a paused VM go on', (vmId, signal) => vms.resume(vmId, signal)),
    ...guestRoutes(vms),
  ]
}

// The caller may not have chosen the id, so it must learn it even when libvirt goes away right after the create.
async function madeVm(vms: VmService, vmId: string, signal: AbortSignal): Promise<VmInfo> {
  try {
    return await vms.status(vmId, signal)
  } catch (error) {
    const { reason, message } = toAgentError(error)
    throw new AgentError(reason, `VM ${vmId} was made, but its state could not be read: ${message}`, {
      details: { vmId },
      cause: error,
    })
  }
}

function guestRoutes(vms: VmService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/qemu-agent/ping',
      summary: 'Whether the QEMU guest agent answers',
      params: vmParams,
      responses: { 200: z.object({ available: z.boolean(), error: z.string().optional() }) },
      handle: async ({ params, signal }) => ok(await vms.guestPing(vmIdOf(params), signal)),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/qemu-agent/exec',
      summary:
        'Run a program in the guest through the QEMU guest agent; trouble in the guest is 200 with success false',
      params: vmParams,
      body: z.object({
        command: z.string(),
        args: z.array(z.string()).nullish(),
        timeout: z.int().positive().max(600).nullish().meta({ description: 'seconds; 30 when not given' }),
      }),
      responses: {
        200: z.object({
          success: z.boolean(),
          exitCode: z.int().optional(),
          stdout: z.string().optional(),
          stderr: z.string().optional(),
          error: z.string().optional(),
        }),
      },
      async handle({ params, body, signal }) {
        const vmId = vmIdOf(params)
        const text = fieldChecks('INVALID_REQUEST').text
        const command = {
          command: text(body.command, 'command', { maxBytes: 4095, required: true }),
          args: (body.args ?? []).map((arg, i) => text(arg, `args[${i}]`, { maxBytes: 65_536, multiline: true })),
          timeoutMs: (body.timeout ?? DEFAULT_EXEC_SECONDS) * 1000,
        }
        try {
          const { exitCode, stdout, stderr, timedOut } = await vms.guestExec(vmId, command, signal)
          if (timedOut)
            return ok({ success: false, stdout, stderr, error: 'the program did not end before the timeout' })
          return ok({ success: exitCode === 0, exitCode, stdout, stderr })
        } catch (error) {
          if (isAgentError(error, 'GUEST_AGENT_UNAVAILABLE')) return ok({ success: false, error: error.message })
          throw error
        }
      },
    }),
  ]
}
