import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import type { Agent } from './compose.ts'

// An undo may take minutes, or wait for a libvirt that is away; a control plane gives a node up after 90 s without a heartbeat.
const RECOVERY_PATIENCE_MS = 20_000

/**
 * Takes up interrupted work and starts the link to the control plane: after it, also when it failed, but it waits for it 20 s at most, and 30 s for the first look at the pools. Resolves
 * when both are done; never rejects. Ends early when `signal` fires, without starting a link.
 */
export async function recoverAndLink(
  agent: Pick<Agent, 'recover' | 'firstLook' | 'startLink'>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const recovery = recover(agent, signal, log)
  const link = startLink(agent, recovery, signal, log).catch((error: unknown) => {
    log.error({ err: errorText(error) }, 'the link to the control plane could not be started')
  })
  await Promise.all([recovery, link])
}

async function recover(agent: Pick<Agent, 'recover'>, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    await agent.recover(signal)
    if (!signal.aborted) log.info({}, 'ready')
  } catch (error) {
    log.error({ err: errorText(error) }, 'recovery failed; what it left undone waits for a restart of the agent')
  }
}

// The control plane calls back while it registers the node, so the listeners are up before.
async function startLink(
  agent: Pick<Agent, 'firstLook' | 'startLink'>,
  recovery: Promise<void>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  // The first heartbeat tells what is there, not that nothing was looked at yet. Together: their limits must not add up.
  await Promise.all([patience(recovery, signal, log), agent.firstLook(signal)])
  if (!signal.aborted) agent.startLink()
}

async function patience(recovery: Promise<void>, signal: AbortSignal, log: Logger): Promise<void> {
  const over = new AbortController()
  const late = delay(RECOVERY_PATIENCE_MS, AbortSignal.any([signal, over.signal])).then(
    () => log.warn({}, 'recovery takes long; going on without it, and telling the control plane of no VM meanwhile'),
    () => undefined,
  )
  await Promise.race([recovery, late])
  over.abort()
}
