import { randomUUID } from 'node:crypto'
import { AgentError, isAgentError } from '../core/errors.ts'
import { run, type Command } from './exec.ts'
import { MountQueue } from './mount-queue.ts'
import { isManagedHost } from './managed-host.ts'
import { readMounts, type MountEntry } from './mounts.ts'

/** One mount as mount(8) is asked for it. Options are single ones, without commas. */
export interface MountRequest {
  readonly source: string
  readonly target: string
  readonly fsType: string
  readonly options: readonly string[]
  /** Debian package of the mount helper, for the error text. */
  readonly package: string
  readonly timeoutMs: number
}

/** Makes and removes mounts of this host and tells them from mountinfo, which never touches the mounted file systems. */
export interface Mounter {
  /** Where mounts of one server wait for each other. */
  readonly queue: MountQueue
  /** The topmost mount at `target`, or undefined. */
  entryAt(target: string): Promise<MountEntry | undefined>
  /** All mounts in mount order. */
  list(): Promise<MountEntry[]>
  /**
   * Mounts once; whoever asks looks first. Nothing goes on after a failure, a deadline or an abort, but a mount that was complete by then stays. Errors:
   * COMMAND_MISSING, COMMAND_FAILED with the words of mount(8), DEADLINE_EXCEEDED, CANCELLED.
   */
  mount(request: MountRequest, signal: AbortSignal): Promise<void>
  /**
   * Removes the topmost mount at `target`. With `force`, requests that wait for a dead server fail first (umount -f). Errors: POOL_IN_USE when the kernel says
   * it is busy, those of `mount`.
   */
  unmount(target: string, force: boolean, signal: AbortSignal): Promise<void>
}

const UMOUNT_TIMEOUT_MS = 8_000
/** More than any tool needs to end after TERM and KILL. */
const STOP_TIMEOUT_MS = 10_000

/**
 * A Mounter of this host. Where systemd runs and shares the mount namespace, mount(8) is started by PID 1 in a unit of its own: helpers that a mount leaves
 * behind are then no children of the agent's unit, and its sandbox does not bind them. `direct` switches that off.
 */
export function createMounter(options: { direct?: boolean } = {}): Mounter {
  let managed: Promise<boolean> | undefined
  return {
    queue: new MountQueue(),
    list: () => readMounts(),
    entryAt: async (target) => (await readMounts()).findLast((entry) => entry.mountPoint === target),
    async mount(request, signal) {
      const command = mountCommand(request)
      managed ??= options.direct === true ? Promise.resolve(false) : isManagedHost()
      if (await managed) await runAsUnit(command, signal)
      else await run(command, signal)
    },
    async unmount(target, force, signal) {
      const command = {
        file: 'umount',
        // -c: looking the path up in the file system would hang on a dead one.
        args: ['-c', ...(force ? ['-f'] : []), '--', target],
        package: 'mount',
        timeoutMs: UMOUNT_TIMEOUT_MS,
      }
      await run(command, signal).catch((error: unknown) => {
        if (!isAgentError(error, 'COMMAND_FAILED') || !/\bbusy\b/.test(error.message)) throw error
        throw new AgentError('POOL_IN_USE', `${target} is in use by a process the agent does not see; see fuser -vm`, {
          cause: error,
        })
      })
    },
  }
}

/** The command that makes a mount: every option through argv, none through a shell or fstab. */
export function mountCommand(request: MountRequest): Command {
  const { source, target, fsType, options, timeoutMs } = request
  return {
    file: 'mount',
    args: ['-t', fsType, '-o', options.join(','), '--', source, target],
    package: request.package,
    timeoutMs,
  }
}

// The unit has a deadline of its own, so that it ends even when the agent does not live to stop it.
async function runAsUnit(command: Command, signal: AbortSignal): Promise<void> {
  const unit = `limiquantix-mount-${randomUUID()}.service`
  const limitSeconds = Math.ceil(command.timeoutMs / 1000) + 10
  const properties = ['KillMode=process', 'TimeoutStopSec=2', `RuntimeMaxSec=${limitSeconds}`]
  const args = [
    ...['--quiet', '--wait', '--pipe', '--collect', '--service-type=exec', `--unit=${unit}`],
    `--description=Mount ${String(command.args.at(-1))} for limiquantix-node`,
    ...properties.flatMap((property) => ['--property', property]),
    ...['--setenv=LC_ALL=C', '--', command.file, ...command.args],
  ]
  try {
    await run({ ...command, file: 'systemd-run', args }, signal)
  } catch (error) {
    if (isAgentError(error, 'COMMAND_FAILED')) throw asMount(error)
    // systemd-run is gone, the unit is not.
    await run({ file: 'systemctl', args: ['stop', unit], okCodes: [5], timeoutMs: STOP_TIMEOUT_MS })
    throw error
  }
}

function asMount(error: AgentError): AgentError {
  const message = error.message.replace(/^systemd-run /, 'mount ')
  return new AgentError(error.reason, message, { cause: error, details: { ...error.details, command: 'mount' } })
}
