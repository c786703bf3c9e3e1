import { z } from 'zod'
import { AgentError, toAgentError } from '../../core/errors.ts'
import { parseUuid } from '../../core/ids.ts'
import type { VmInfo } from '../../core/model.ts'
import type { VmService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { OUTPUT_CUT } from './guest-bodies.ts'
import { guestAnswer } from './guest-failures.ts'
import { createVmBody, fromCreateVmBody, toVmBody, vmBody } from './vm-bodies.ts'

const DEFAULT_STOP_SECONDS = 30
const DEFAULT_EXEC_SECONDS = 30

const vmParams = z.object({ id: z.string() })
const vmIdOf = (params: { id: string }) => parseUuid(params.id, 'id')
const stopBody = z
  .object({
    timeoutSeconds: z.int().nonnegative().max(3600).nullish(),
    force: z.boolean().nullish().meta({ description: 'cut the power when the guest is not off by then' }),
  })
  .nullish()

const execBody = z.object({
  success: z.boolean(),
  exitCode: z.int().optional(),
  stdout: z.string().optional(),
  stderr: z.string().optional(),
  error: z.string().optional(),
})

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
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/start',
      summary: 'Start; 409 when another host of a shared pool has the VM',
      params: vmParams,
      body: z
        .object({
          takeOver: z.boolean().nullish().meta({
            description: 'although another host says that it has the VM, unless its disks are being written to',
          }),
        })
        .nullish(),
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await vms.start(vmIdOf(params), signal, body?.takeOver ?? false)
        return noContent
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/stop',
      summary: 'Ask the guest to shut down and wait; 504 leaves it running, unless force is asked for',
      params: vmParams,
      body: stopBody,
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await vms.stop(vmIdOf(params), body?.timeoutSeconds || DEFAULT_STOP_SECONDS, signal, body?.force ?? false)
        return noContent
      },
    }),
    power('force-stop', 'Cut the power', (vmId, signal) => vms.forceStop(vmId, signal)),
    power('reboot', 'Ask the guest to reboot', (vmId, signal) => vms.reboot(vmId, signal)),
    power('reset', 'Press the reset button: the guest is not asked', (vmId, signal) => vms.reset(vmId, signal)),
    power('save', 'Keep the memory of a running VM and end it; its next start goes on from there', (vmId, signal) =>
      vms.save(vmId, signal),
    ),
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/save',
      summary: 'Whether the next start goes on from a saved state',
      params: vmParams,
      responses: { 200: z.object({ saved: z.boolean() }) },
      handle: async ({ params, signal }) => ok({ saved: await vms.isSaved(vmIdOf(params), signal) }),
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/vms/:id/save',
      summary: 'Forget the saved state: the next start boots',
      params: vmParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await vms.dropSaved(vmIdOf(params), signal)
        return noContent
      },
    }),
    route({
      method: 'PUT',
      url: '/api/v1/vms/:id/autostart',
      summary: 'Whether the VM is started when the host has booted',
      params: vmParams,
      body: z.object({ enabled: z.boolean() }),
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await vms.setAutostart(vmIdOf(params), body.enabled, signal)
        return noContent
      },
    }),
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
      handle: ({ params, signal }) =>
        guestAnswer<{ available: boolean; error?: string }>(
          () => vms.guestPing(vmIdOf(params), signal),
          (error) => ({ available: false, error }),
        ),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/qemu-agent/exec',
      summary:
        'Run a program in the guest through the QEMU guest agent; trouble in the guest is 200 with success false, output over 1 MiB of a stream is cut, and error says so',
      params: vmParams,
      body: z.object({
        command: z.string(),
        args: z.array(z.string()).nullish(),
        timeout: z.int().positive().max(600).nullish().meta({ description: 'seconds; 30 when not given' }),
      }),
      responses: {
        200: execBody,
      },
      async handle({ params, body, signal }) {
        const vmId = vmIdOf(params)
        const text = fieldChecks('INVALID_REQUEST').text
        const command = {
          command: text(body.command, 'command', { maxBytes: 4095, required: true }),
          args: (body.args ?? []).map((arg, i) => text(arg, `args[${i}]`, { maxBytes: 65_536, multiline: true })),
          timeoutMs: (body.timeout ?? DEFAULT_EXEC_SECONDS) * 1000,
        }
        const execute = async (): Promise<z.infer<typeof execBody>> => {
          const { exitCode, stdout, stderr, timedOut, truncated } = await vms.guestExec(vmId, command, signal)
          if (timedOut) return { success: false, stdout, stderr, error: 'the program did not end before the timeout' }
          const error = truncated === true ? { error: OUTPUT_CUT } : {}
          return { success: exitCode === 0, exitCode, stdout, stderr, ...error }
        }
        return guestAnswer(execute, (error) => ({ success: false, error }))
      },
    }),
  ]
}
