import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import { boundedCommand, MAX_OUTPUT_BYTES } from './bounded-command.ts'
import * as answers from './guest-agent-answers.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

/** How a program in the guest ended. `timedOut`: it was still running at the deadline, and goes on. */
export interface GuestCommandResult {
  /** 128 plus the signal when one ended it; -1 when it still runs. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
  /** Some output is missing at the end. */
  readonly truncated: boolean
}

/** What a guest calls one file system. Sizes are absent where the guest does not tell them. */
export interface GuestFileSystem {
  readonly device: string
  readonly mountPoint: string
  readonly type: string
  readonly usedBytes?: number
  readonly totalBytes?: number
}

const COMMAND_TIMEOUT_S = 10
/** libvirt waits 5 s for an agent to show that it listens, before it sends the command. */
const SYNC_TIMEOUT_S = 5
const CLOSE_TIMEOUT_MS = 10_000
const POLL_MS = 250
const READ_CHUNK_BYTES = 256 * 1024

/**
 * The QEMU guest agent of one VM, through libvirt; commands to one VM go out one after the other, and silent agents hold up nobody else (lane `guest`). Everything it says
 * comes from the guest and is not to be trusted. Errors: GUEST_AGENT_UNAVAILABLE with `details.cause` `vm-off`, `no-channel`, `not-connected` or `silent`; GUEST_AGENT_REFUSED
 * with `disabled`, `error` (both with the agent's `details.command`) or `nonsense`; VM_NOT_FOUND, LIBVIRT_*.
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

  /** Version of the agent, and the commands it takes. */
  async info(ctx: OpContext): Promise<{ version: string; commands: string[] }> {
    const { version, supported_commands: known } = await this.#answer('guest-info', undefined, answers.infoAnswer, ctx)
    return { version, commands: known.filter(({ enabled }) => enabled).map(({ name }) => name) }
  }

  async osInfo(ctx: OpContext): Promise<z.infer<typeof answers.osInfoAnswer>> {
    return this.#answer('guest-get-osinfo', undefined, answers.osInfoAnswer, ctx)
  }

  async hostName(ctx: OpContext): Promise<string> {
    return (await this.#answer('guest-get-host-name', undefined, answers.hostNameAnswer, ctx))['host-name']
  }

  /** Addresses of all interfaces, by interface. */
  async addresses(ctx: OpContext): Promise<{ name: string; addresses: string[] }[]> {
    const nics = await this.#answer('guest-network-get-interfaces', undefined, answers.interfacesAnswer, ctx)
    return nics.map((nic) => ({
      name: nic.name,
      addresses: (nic['ip-addresses'] ?? []).map((one) => one['ip-address']),
    }))
  }

  async fileSystems(ctx: OpContext): Promise<GuestFileSystem[]> {
    const mounted = await this.#answer('guest-get-fsinfo', undefined, answers.fileSystemsAnswer, ctx)
    return mounted.map(({ name, mountpoint, type, 'used-bytes': usedBytes, 'total-bytes': totalBytes }) => ({
      device: name,
      mountPoint: mountpoint,
      type,
      ...(usedBytes === undefined ? {} : { usedBytes }),
      ...(totalBytes === undefined ? {} : { totalBytes }),
    }))
  }

  /** Stops all writing to the file systems, when what was written is on the disks; answers how many there are. */
  async freeze(ctx: OpContext): Promise<number> {
    return this.#answer('guest-fsfreeze-freeze', undefined, z.number(), ctx)
  }

  /** True while the file systems stand still. */
  async frozen(ctx: OpContext): Promise<boolean> {
    const status = await this.#answer('guest-fsfreeze-status', undefined, z.enum(['frozen', 'thawed']), ctx)
    return status === 'frozen'
  }

  /** Ends a freeze; success when there is none. GUEST_AGENT_REFUSED (`nonsense`) when the guest says afterwards that they still stand still. */
  async thaw(ctx: OpContext): Promise<void> {
    await this.#answer('guest-fsfreeze-thaw', undefined, z.number(), ctx)
    if (await this.frozen(ctx))
      throw this.#refused('nonsense', 'the file systems still stand still after they were let go')
  }

  /** Names of those who are logged in. */
  async users(ctx: OpContext): Promise<string[]> {
    return (await this.#answer('guest-get-users', undefined, answers.usersAnswer, ctx)).map(({ user }) => user)
  }

  /** Load averages over 1, 5 and 15 minutes; agents since 9.1 know them. */
  async load(ctx: OpContext): Promise<readonly [number, number, number]> {
    const { load1m, load5m, load15m } = await this.#answer('guest-get-load', undefined, answers.loadAnswer, ctx)
    return [load1m, load5m, load15m]
  }

  /** Starts a program in the guest (no shell) and forgets it. */
  async start(program: string, args: readonly string[], ctx: OpContext): Promise<void> {
    await this.#answer('guest-exec', { path: program, arg: args }, answers.startedAnswer, ctx)
  }

  /** Runs a program in the guest (no shell) and waits for its end, at most `timeoutMs`. Each stream is cut at MAX_OUTPUT_BYTES here, but comes here whole, which some megabytes must not; see `run`. */
  async exec(program: string, args: readonly string[], timeoutMs: number, ctx: OpContext): Promise<GuestCommandResult> {
    const deadline = monotonicMs() + timeoutMs
    const request = { path: program, arg: args, 'capture-output': true }
    const { pid } = await this.#answer('guest-exec', request, answers.startedAnswer, ctx)
    for (;;) {
      const status = await this.#answer('guest-exec-status', { pid }, answers.execStatusAnswer, ctx)
      if (status.exited) return resultOf(status)
      if (monotonicMs() > deadline) return { exitCode: -1, stdout: '', stderr: '', timedOut: true, truncated: false }
      // The agent has no notification for this.
      await delay(POLL_MS, ctx.signal)
    }
  }

  /** Like `exec` in a POSIX guest, with each stream cut at MAX_OUTPUT_BYTES before it leaves the guest. */
  async run(program: string, args: readonly string[], timeoutMs: number, ctx: OpContext): Promise<GuestCommandResult> {
    const bounded = boundedCommand(program, args, MAX_OUTPUT_BYTES + 1)
    return this.exec('/bin/sh', bounded, timeoutMs, ctx)
  }

  /** Content of a file in the guest; more than `maxBytes` is GUEST_AGENT_REFUSED. The agent hangs on a FIFO: look before. */
  async readFile(path: string, maxBytes: number, ctx: OpContext): Promise<Buffer> {
    const handle = await this.#answer('guest-file-open', { path, mode: 'r' }, z.number(), ctx)
    try {
      const chunks: Buffer[] = []
      let total = 0
      for (;;) {
        const count = Math.min(READ_CHUNK_BYTES, maxBytes + 1)
        const chunk = await this.#answer('guest-file-read', { handle, count }, answers.fileChunkAnswer, ctx)
        const data = Buffer.from(chunk['buf-b64'] ?? '', 'base64')
        total += data.length
        if (total > maxBytes) throw this.#refused('error', `${path} is larger than ${maxBytes} bytes`)
        chunks.push(data)
        if (chunk.eof || data.length === 0) return Buffer.concat(chunks)
      }
    } finally {
      // Also for a caller that has gone: the guest would keep the file open. What the reading said counts more than the outcome of this.
      const signal = AbortSignal.timeout(CLOSE_TIMEOUT_MS)
      await this.#command('guest-file-close', { handle }, { ...ctx, signal }).catch((error: unknown) => {
        ctx.log.debug({ vm: this.#vmId, err: errorText(error) }, 'a file in the guest stays open')
      })
    }
  }

  async #answer<T>(execute: string, args: object | undefined, schema: z.ZodType<T>, ctx: OpContext): Promise<T> {
    const answer = schema.safeParse(await this.#command(execute, args, ctx))
    if (answer.success) return answer.data
    throw this.#refused('nonsense', `the answer to ${execute} has not the form it should have`)
  }

  async #command(execute: string, args: object | undefined, ctx: OpContext): Promise<unknown> {
    const cmd = JSON.stringify(args === undefined ? { execute } : { execute, arguments: args })
    const call = { dom: domainRef(this.#vmId), cmd, timeout: COMMAND_TIMEOUT_S, flags: 0 }
    let answer: string | null
    try {
      const options = { timeoutMs: (SYNC_TIMEOUT_S + COMMAND_TIMEOUT_S + 5) * 1000, signal: ctx.signal }
      answer = (await this.#libvirt.call('qemu:DOMAIN_AGENT_COMMAND', call, options)).result
    } catch (error) {
      throw this.#translate(error, execute)
    }
    try {
      return (JSON.parse(answer ?? '') as { return?: unknown }).return
    } catch (error) {
      throw this.#refused('nonsense', `the answer to ${execute} is not JSON`, error)
    }
  }

  #translate(error: unknown, execute: string): AgentError {
    return guestAgentError(error, this.#vmId, execute)
  }

  #refused(cause: string, why: string, error?: unknown): AgentError {
    return refusal(this.#vmId, cause, why, error)
  }
}

/** Whatever a libvirt call that asks the guest's agent threw. Errors: those of GuestAgent. */
export function guestAgentError(error: unknown, vmId: string, command: string): AgentError {
  if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID))
    return unavailable(vmId, 'vm-off', 'the VM is not running', error)
  if (isLibvirtError(error, VIR_ERR.ARGUMENT_UNSUPPORTED)) {
    return unavailable(vmId, 'no-channel', 'the VM has no channel for a guest agent', error)
  }
  if (isLibvirtError(error, VIR_ERR.AGENT_UNRESPONSIVE, VIR_ERR.AGENT_UNSYNCED)) {
    // libvirt has one code for both; it knows from QEMU whether a program in the guest has opened the channel.
    return error.message.includes('not connected')
      ? unavailable(
          vmId,
          'not-connected',
          'no guest agent runs in the guest: install and start qemu-guest-agent there',
          error,
        )
      : unavailable(vmId, 'silent', `the guest agent does not answer: ${error.message}`, error)
  }
  if (isLibvirtError(error, VIR_ERR.INTERNAL_ERROR)) {
    const isDisabled = /has been disabled|has not been found/.test(error.message)
    const why = isDisabled ? `${command} is disabled in the guest` : `${command}: ${error.message}`
    return refusal(vmId, isDisabled ? 'disabled' : 'error', why, error, command)
  }
  return vmError(error, vmId)
}

function unavailable(vmId: string, cause: string, why: string, error?: unknown): AgentError {
  return new AgentError('GUEST_AGENT_UNAVAILABLE', `VM ${vmId}: ${why}`, { cause: error, details: { cause } })
}

function refusal(vmId: string, cause: string, why: string, error?: unknown, command?: string): AgentError {
  const details = { cause, ...(command === undefined ? {} : { command }) }
  return new AgentError('GUEST_AGENT_REFUSED', `VM ${vmId}: guest agent: ${why}`, { cause: error, details })
}

/** The error of asking a VM that is off. */
export function guestOff(vmId: string): AgentError {
  return unavailable(vmId, 'vm-off', 'the VM is not running')
}

function cut(text: string): string {
  // Bytes that are no UTF-8 are longer as text than they were: only whole characters count.
  return Buffer.byteLength(text) <= MAX_OUTPUT_BYTES ? text : Buffer.from(text).subarray(0, MAX_OUTPUT_BYTES).toString()
}

function resultOf(status: z.infer<typeof answers.execStatusAnswer>): GuestCommandResult {
  const [out, err] = [status['out-data'], status['err-data']].map((data) =>
    Buffer.from(data ?? '', 'base64').toString('utf8'),
  ) as [string, string]
  const [stdout, stderr] = [cut(out), cut(err)]
  const wasCut = status['out-truncated'] === true || status['err-truncated'] === true
  return {
    exitCode: status.exitcode ?? 128 + (status.signal ?? 0),
    stdout,
    stderr,
    timedOut: false,
    truncated: wasCut || stdout !== out || stderr !== err,
  }
}
