import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

/** How a program in the guest ended. `timedOut`: it was still running at the deadline, and goes on. */
export interface GuestCommandResult {
  /** 128 plus the signal when one ended it; -1 when it still runs. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

const COMMAND_TIMEOUT_S = 10
const POLL_MS = 250
const READ_CHUNK_BYTES = 64 * 1024

/**
 * The QEMU guest agent of one VM, through libvirt. Everything it says comes from the guest and is not to be trusted. Errors: GUEST_AGENT_UNAVAILABLE (not running,
 * not answering, VM off), GUEST_AGENT_REFUSED (the guest's agent answered with an error), VM_NOT_FOUND, LIBVIRT_*.
 */
export class GuestAgent {
  readonly #libvirt: LibvirtCalls
  readonly #vmId: string

  constructor(libvirt: LibvirtCalls, vmId: string) {
    this.#libvirt = libvirt
    this.#vmId = vmId
  }

  /** Resolves when the agent answers. */
  async ping(ctx: OpContext): Promise<void> {
    await this.#command('guest-ping', undefined, ctx)
  }

  /** Runs a program in the guest (no shell) and waits for its end, at most `timeoutMs`. */
  async exec(program: string, args: readonly string[], timeoutMs: number, ctx: OpContext): Promise<GuestCommandResult> {
    const deadline = monotonicMs() + timeoutMs
    const request = { path: program, arg: args, 'capture-output': true }
    const { pid } = await this.#answer('guest-exec', request, startedSchema, ctx)
    for (;;) {
      const status = await this.#answer('guest-exec-status', { pid }, execStatusSchema, ctx)
      if (status.exited) return resultOf(status)
      if (monotonicMs() > deadline) return { exitCode: -1, stdout: '', stderr: '', timedOut: true }
      // The agent has no notification for this.
      await delay(POLL_MS, ctx.signal)
    }
  }

  /** Content of a file in the guest; more than `maxBytes` is GUEST_AGENT_REFUSED. */
  async readFile(path: string, maxBytes: number, ctx: OpContext): Promise<Buffer> {
    const handle = await this.#answer('guest-file-open', { path, mode: 'r' }, z.number(), ctx)
    try {
      const chunks: Buffer[] = []
      let total = 0
      for (;;) {
        const chunk = await this.#answer('guest-file-read', { handle, count: READ_CHUNK_BYTES }, fileChunkSchema, ctx)
        const data = Buffer.from(chunk['buf-b64'] ?? '', 'base64')
        total += data.length
        if (total > maxBytes) throw this.#refused(`${path} is larger than ${maxBytes} bytes`)
        chunks.push(data)
        if (chunk.eof || data.length === 0) return Buffer.concat(chunks)
      }
    } finally {
      await this.#command('guest-file-close', { handle }, ctx)
    }
  }

  async #answer<T>(execute: string, args: object, schema: z.ZodType<T>, ctx: OpContext): Promise<T> {
    const answer = schema.safeParse(await this.#command(execute, args, ctx))
    if (answer.success) return answer.data
    throw this.#refused(`the answer to ${execute} has not the form it should have`)
  }

  async #command(execute: string, args: object | undefined, ctx: OpContext): Promise<unknown> {
    const cmd = JSON.stringify(args === undefined ? { execute } : { execute, arguments: args })
    const call = { dom: domainRef(this.#vmId), cmd, timeout: COMMAND_TIMEOUT_S, flags: 0 }
    let answer: string | null
    try {
      const options = { timeoutMs: (COMMAND_TIMEOUT_S + 10) * 1000, signal: ctx.signal }
      answer = (await this.#libvirt.call('qemu:DOMAIN_AGENT_COMMAND', call, options)).result
    } catch (error) {
      throw this.#translate(error, execute)
    }
    try {
      return (JSON.parse(answer ?? '') as { return?: unknown }).return
    } catch (error) {
      throw new AgentError(
        'GUEST_AGENT_REFUSED',
        `VM ${this.#vmId}: the answer of the guest agent to ${execute} is not JSON`,
        { cause: error },
      )
    }
  }

  #translate(error: unknown, execute: string): AgentError {
    const absent = [
      VIR_ERR.AGENT_UNRESPONSIVE,
      VIR_ERR.AGENT_UNSYNCED,
      VIR_ERR.OPERATION_INVALID,
      VIR_ERR.ARGUMENT_UNSUPPORTED,
    ]
    if (isLibvirtError(error, ...absent)) {
      return new AgentError(
        'GUEST_AGENT_UNAVAILABLE',
        `VM ${this.#vmId}: the guest agent does not answer: ${error.message}`,
        { cause: error },
      )
    }
    if (isLibvirtError(error, VIR_ERR.INTERNAL_ERROR)) return this.#refused(`${execute}: ${error.message}`, error)
    return vmError(error, this.#vmId)
  }

  #refused(why: string, cause?: unknown): AgentError {
    return new AgentError('GUEST_AGENT_REFUSED', `VM ${this.#vmId}: guest agent: ${why}`, { cause })
  }
}

// Whoever owns the guest decides what its agent says.
const startedSchema = z.object({ pid: z.number() })
const execStatusSchema = z.object({
  exited: z.boolean(),
  exitcode: z.number().optional(),
  signal: z.number().optional(),
  'out-data': z.string().optional(),
  'err-data': z.string().optional(),
})
const fileChunkSchema = z.object({ 'buf-b64': z.string().optional(), eof: z.boolean().optional() })

function resultOf(status: z.infer<typeof execStatusSchema>): GuestCommandResult {
  const text = (data: string | undefined) => Buffer.from(data ?? '', 'base64').toString('utf8')
  return {
    exitCode: status.exitcode ?? 128 + (status.signal ?? 0),
    stdout: text(status['out-data']),
    stderr: text(status['err-data']),
    timedOut: false,
  }
}
