import { errorText } from '../core/errors.ts'
import type { Logger } from '../core/context.ts'
import { run } from './exec.ts'

/** The service manager this process may talk to (sd_notify(3)); does nothing where there is none. */
export interface ServiceManager {
  /** Whether the unit waits for notifications. */
  readonly present: boolean
  /** Half of WatchdogSec in ms, the time between two `watchdog` calls; undefined when the unit has no watchdog. */
  readonly watchdogIntervalMs: number | undefined
  ready(status: string): Promise<void>
  stopping(): Promise<void>
  watchdog(): Promise<void>
}

/** Reads NOTIFY_SOCKET and WATCHDOG_USEC. Node has no datagram sockets of AF_UNIX, so messages go through systemd-notify (NotifyAccess=all). */
export function serviceManager(env: NodeJS.ProcessEnv, log: Logger): ServiceManager {
  const present = (env['NOTIFY_SOCKET'] ?? '') !== ''
  const watchdogUsec = Number(env['WATCHDOG_USEC'] ?? 0)
  const notify = async (...args: string[]) => {
    if (!present) return
    try {
      await run({
        file: 'systemd-notify',
        args: [`--pid=${process.pid}`, ...args],
        package: 'systemd',
        timeoutMs: 5_000,
      })
    } catch (error) {
      log.warn({ err: errorText(error) }, 'cannot notify the service manager')
    }
  }
  return {
    present,
    watchdogIntervalMs: watchdogUsec > 0 ? watchdogUsec / 2_000 : undefined,
    ready: (status) => notify('--ready', `--status=${status}`),
    stopping: () => notify('STOPPING=1'),
    watchdog: () => notify('WATCHDOG=1'),
  }
}
