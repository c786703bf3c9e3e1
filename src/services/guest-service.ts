import type { Logger, OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { parseUuid } from '../core/ids.ts'
import { GuestAgent, guestAgentError, guestOff } from '../domains/guest-agent.ts'
import { readGuestFacts } from '../domains/guest-facts.ts'
import { listGuestDirectory, readGuestFile } from '../domains/guest-files.ts'
import { isWindowsGuest } from '../domains/guest-program.ts'
import type { DomainInventory } from '../domains/inventory.ts'
import { domainRef, isOff, type LibvirtCalls } from '../domains/libvirt-domain.ts'
import { readQemuLog } from '../domains/qemu-log.ts'
import { VIR_DOMAIN_REBOOT, VIR_DOMAIN_SHUTDOWN_FLAGS } from '../libvirt/constants.ts'
import { LibvirtTimeout } from '../libvirt/errors.ts'
import type { GuestService } from './contracts.ts'

/** What the service is made of. */
export interface GuestServiceParts {
  readonly inventory: Pick<DomainInventory, 'entry' | 'get'>
  readonly libvirt: LibvirtCalls
  /** Where libvirt keeps QEMU's logs. */
  readonly logDirectory: string
  readonly log: Logger
}

// Control planes give up after 30 s and then take the node for unreachable.
const ANSWER_WITHIN_MS = 28_000
const POWER_WAIT_MS = 15_000
const LOG_TIMEOUT_MS = 15_000

// In the order in which they are tried.
const AGENT_LOGS = [
  {
    program: 'journalctl',
    option: '--lines=',
    args: ['--quiet', '--no-pager', '--output=short-iso', '--unit=qemu-guest-agent'],
  },
  { program: 'tail', option: '-n', args: ['/var/log/qemu-ga/qemu-ga.log'] },
  { program: 'tail', option: '-n', args: ['/var/log/qemu-ga.log'] },
]

/** The calls of GuestService that go through the guest agent: every answer comes within 28 s. */
export function createGuestService({
  inventory,
  libvirt,
  logDirectory,
  log,
}: GuestServiceParts): Omit<GuestService, 'mountAgentIso'> {
  const inGuest = async <T>(
    vmId: string,
    signal: AbortSignal,
    work: (agent: GuestAgent, ctx: OpContext, vmId: string) => Promise<T>,
  ): Promise<T> => {
    const id = parseUuid(vmId, 'vm_id')
    const deadline = AbortSignal.timeout(ANSWER_WITHIN_MS)
    const ctx = { signal: AbortSignal.any([signal, deadline]), log }
    if (isOff((await inventory.entry(id, ctx.signal)).state)) throw guestOff(id)
    try {
      return await work(new GuestAgent(libvirt, id), ctx, id)
    } catch (error) {
      if (!deadline.aborted || error instanceof AgentError) throw error
      throw new AgentError(
        'DEADLINE_EXCEEDED',
        `VM ${id}: the guest did not answer within ${ANSWER_WITHIN_MS / 1000} s`,
      )
    }
  }
  return {
    async log(vmId, lines, signal) {
      const { facts } = await inventory.entry(parseUuid(vmId, 'vm_id'), signal)
      return { vmName: facts.name, ...(await readQemuLog(logDirectory, facts.name, lines)) }
    },
    facts: (vmId, signal) =>
      inGuest(vmId, signal, async (agent, ctx, id) => {
        // First, as it fails soonest.
        await agent.ping(ctx)
        const { usage } = await inventory.get(id, ctx.signal)
        return readGuestFacts(agent, usage?.cpuUsagePercent ?? 0, ctx)
      }),
    power: (vmId, what, signal) =>
      inGuest(vmId, signal, async (agent, ctx, id) => {
        // libvirt waits for the guest to obey; an agent that answers now shows that the request got through.
        await agent.ping(ctx)
        // A guest that takes its time must not keep other calls on it waiting.
        const options = { timeoutMs: POWER_WAIT_MS, signal: ctx.signal, mayOverlap: true }
        const dom = domainRef(id)
        try {
          if (what === 'shutdown') {
            const flags = VIR_DOMAIN_SHUTDOWN_FLAGS.GUEST_AGENT
            await libvirt.call('remote:DOMAIN_SHUTDOWN_FLAGS', { dom, flags }, options)
          } else {
            await libvirt.call('remote:DOMAIN_REBOOT', { dom, flags: VIR_DOMAIN_REBOOT.GUEST_AGENT }, options)
          }
        } catch (error) {
          if (error instanceof LibvirtTimeout && error.outcomeUnknown) return
          throw guestAgentError(error, id, what)
        }
      }),
    shell: (vmId, commandLine, timeoutMs, signal) =>
      inGuest(vmId, signal, async (agent, ctx) => {
        const isWindows = await isWindowsGuest(agent, ctx)
        const [program, option] = isWindows ? ['cmd.exe', '/c'] : ['/bin/sh', '-c']
        if (timeoutMs === undefined) {
          await agent.start(program, [option, commandLine], ctx)
          return { exitCode: -1, stdout: '', stderr: '', timedOut: false }
        }
        const run = isWindows ? agent.exec.bind(agent) : agent.run.bind(agent)
        return run(program, [option, commandLine], timeoutMs, ctx)
      }),
    agentLog: (vmId, lines, signal) =>
      inGuest(vmId, signal, async (agent, ctx) => {
        for (const { program, option, args } of AGENT_LOGS) {
          const { exitCode, stdout } = await agent.run(program, [`${option}${lines}`, ...args], LOG_TIMEOUT_MS, ctx)
          if (exitCode === 0 && stdout !== '') return stdout.replace(/\n$/, '').split('\n').slice(-lines)
        }
        return []
      }),
    listFiles: (vmId, path, signal) => inGuest(vmId, signal, (agent, ctx) => listGuestDirectory(agent, path, ctx)),
    readFile: (vmId, path, signal) => inGuest(vmId, signal, (agent, ctx) => readGuestFile(agent, path, ctx)),
  }
}
