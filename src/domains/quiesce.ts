import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { VIR_DOMAIN_EVENT, VIR_DOMAIN_EVENT_STARTED } from '../libvirt/constants.ts'
import { uuidText } from '../libvirt/uuid.ts'
import { delay } from '../platform/clock.ts'
import { GuestAgent } from './guest-agent.ts'
import type { SnapshotParts } from './read-snapshots.ts'

/** A guest's file systems stand still for no longer than this, whatever becomes of the work meanwhile. */
export const MAX_FROZEN_MS = 20_000
const THAW_TIMEOUT_MS = 60_000
const RETRY_MS = 1_000
/** Causes of an error that say that the guest was never told. */
const NOT_DONE = ['vm-off', 'no-channel', 'not-connected', 'disabled']

/**
 * Does work while the file systems of the guest stand still: written out, and complete on its disks. `note(true)` is on disk before the guest is asked, `note(false)` after it said that it goes on: who finds it true after a crash
 * has to call `thawGuest`. Errors before anything was changed: GUEST_AGENT_UNAVAILABLE, GUEST_AGENT_REFUSED (also of a guest that says it froze nothing). A guest that went on before the work was done, by itself or because it took
 * too long: GUEST_NOT_QUIESCED, after the work.
 */
export async function whileFrozen<T>(
  vmId: string,
  parts: Pick<SnapshotParts, 'client'>,
  note: (frozen: boolean) => Promise<void>,
  work: () => Promise<T>,
  ctx: OpContext,
): Promise<T> {
  const agent = new GuestAgent(parts.client, vmId)
  // An agent that is not there says so before a freeze is on record.
  await agent.ping(ctx)
  await note(true)
  let late = false
  let asked = true
  const over = new AbortController()
  const guard = async () => {
    await delay(MAX_FROZEN_MS, over.signal)
    late = true
    ctx.log.warn({ vm: vmId }, 'the guest has stood still for too long and is told to go on')
    await thawGuest(vmId, parts, note, ctx)
  }
  let guarded: Promise<void> = Promise.resolve()
  try {
    const frozen = await agent.freeze(ctx).catch((error: unknown) => {
      asked = !hasCause(error, NOT_DONE)
      throw error
    })
    if (frozen === 0 || (await agent.frozen(ctx)) !== true) {
      throw new AgentError('GUEST_AGENT_REFUSED', `VM ${vmId}: the guest agent froze no file system`, {
        details: { cause: 'nonsense' },
      })
    }
    guarded = guard().catch((error: unknown) => {
      if (!over.signal.aborted) ctx.log.error({ vm: vmId, err: errorText(error) }, 'the guest may still stand still')
    })
    const result = await work()
    const still = !late && (await agent.frozen(ctx))
    if (still) return result
    throw new AgentError(
      'GUEST_NOT_QUIESCED',
      `VM ${vmId}: the guest wrote again before its disks were kept (${late ? 'it took too long' : 'it went on by itself'})`,
    )
  } finally {
    over.abort()
    await guarded
    if (asked) await thawGuest(vmId, parts, note, ctx)
    else await note(false)
  }
}

/** Lets the guest's file systems go on; success too when they do, or the VM is off or gone. Tries for `timeoutMs`; then GUEST_AGENT_UNAVAILABLE or what else stands in the way. */
export async function thawGuest(
  vmId: string,
  { client }: Pick<SnapshotParts, 'client'>,
  note: (frozen: boolean) => Promise<void>,
  { log }: OpContext,
  timeoutMs = THAW_TIMEOUT_MS,
): Promise<void> {
  // Whoever gave up the work still wants this.
  const signal = AbortSignal.timeout(timeoutMs)
  const agent = new GuestAgent(client, vmId)
  for (;;) {
    try {
      await client.ready(signal)
      await agent.thaw({ signal, log })
      break
    } catch (error) {
      if (isAgentError(error, 'VM_NOT_FOUND') || isOff(error)) break
      if (signal.aborted) throw error
      log.warn({ vm: vmId, err: errorText(error) }, 'the guest cannot be told to go on; trying again')
      try {
        await delay(RETRY_MS, signal)
      } catch {
        throw error
      }
    }
  }
  await note(false)
}

/** Notes whether a VM boots anew, by a reset or a start: no file system of it stands still any more, whatever the agent in the guest says or does not say. End it. Errors: LIBVIRT_*. */
export async function watchForBoot(
  vmId: string,
  { client, log }: Pick<SnapshotParts, 'client' | 'log'>,
): Promise<{ seen(): boolean; end(): void }> {
  let seen = false
  const stops = await Promise.all([
    client.subscribe('domain:REBOOT', ({ dom }) => {
      seen ||= uuidText(dom.uuid) === vmId
    }),
    client.subscribe('domain:LIFECYCLE', ({ dom, event, detail }) => {
      // One that comes back from a saved state stands as still as before.
      const boots = event === VIR_DOMAIN_EVENT.STARTED && detail === VIR_DOMAIN_EVENT_STARTED.BOOTED
      seen ||= boots && uuidText(dom.uuid) === vmId
    }),
  ])
  const end = () => {
    for (const stop of stops) {
      stop().catch((error: unknown) => log.debug({ err: errorText(error) }, 'could not deregister an event'))
    }
  }
  return { seen: () => seen, end }
}

function isOff(error: unknown): boolean {
  return hasCause(error, ['vm-off'])
}

function hasCause(error: unknown, causes: readonly string[]): boolean {
  return isAgentError(error) && causes.includes(error.details['cause'] ?? '')
}
