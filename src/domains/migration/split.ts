import { z } from 'zod'
import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { VIR_DOMAIN_PAUSED, VIR_DOMAIN_RUNNING, VIR_DOMAIN_STATE } from '../../libvirt/constants.ts'
import { delay, monotonicMs } from '../../platform/clock.ts'
import type { MigrationOffer } from './messages.ts'
import { domainRef, findDomain, isOff, isPostCopyBroken, readPowerState, type LibvirtCalls } from '../libvirt-domain.ts'

const TIMEOUT_MS = 15_000
const POLL_MS = 1_000
const UNDECIDED_MS = 60_000
const migrationAnswer = z.object({ return: z.object({ status: z.string().optional() }) })

/** Why a VM is not switched over before all of its memory has come, although it could move: after a break nothing of what it has besides memory may be on two hosts. `copied` are the disks that are. Pure. */
export function postCopyProblems(
  { off, snapshots }: Pick<MigrationOffer, 'off' | 'snapshots'>,
  copied: readonly string[],
): string[] {
  // Nothing is switched over.
  if (off) return []
  const problems: string[] = []
  if (snapshots.length > 0)
    problems.push(
      `it has ${snapshots.length} snapshot(s), which would be lost if post-copy broke off: delete them first, or migrate without post-copy`,
    )
  if (copied.length > 0)
    problems.push(
      `its storage is to be copied (${copied.join(', ')}), and if post-copy broke off it would have disks on both hosts: migrate without post-copy`,
    )
  return problems
}

/** `split`: its memory is on two hosts, and nothing brings it together. `coming`: the rest of it is on its way. */
export type PostCopyState = 'split' | 'coming' | undefined

/** What libvirt at the target says of a guest that was switched over before all of its memory had come; undefined of any other. Pure. */
export function postCopyStateOf({ state, reason }: { readonly state: number; readonly reason: number }): PostCopyState {
  if (isPostCopyBroken(state, reason)) return 'split'
  const coming =
    (state === VIR_DOMAIN_STATE.RUNNING && reason === VIR_DOMAIN_RUNNING.POSTCOPY) ||
    (state === VIR_DOMAIN_STATE.PAUSED && reason === VIR_DOMAIN_PAUSED.POSTCOPY)
  return coming ? 'coming' : undefined
}

/** Whether the source keeps memory of a guest that was switched over, and QEMU has lost the way to the target. libvirt alone says the same when an agent that made the calls has died and QEMU goes on. Errors: those of libvirt. */
export async function isSplitAtSource(vmId: string, client: LibvirtCalls, signal: AbortSignal): Promise<boolean> {
  const options = { timeoutMs: TIMEOUT_MS, signal, mayOverlap: true }
  const dom = domainRef(vmId)
  const { state, reason } = await client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 }, options)
  if (!isPostCopyBroken(state, reason)) return false
  const cmd = JSON.stringify({ execute: 'query-migrate' })
  const { result } = await client.call('qemu:DOMAIN_MONITOR_COMMAND', { dom, cmd, flags: 0 }, options)
  const answer = migrationAnswer.safeParse(JSON.parse(result))
  return answer.success && answer.data.return.status === 'postcopy-paused'
}

/** The same at the target, while a call is under way that is to bring the rest: then QEMU itself has told it. Errors: those of libvirt. */
export async function isSplitAtTarget(vmId: string, client: LibvirtCalls, signal: AbortSignal): Promise<boolean> {
  const options = { timeoutMs: TIMEOUT_MS, signal, mayOverlap: true }
  const now = await client.call('remote:DOMAIN_GET_STATE', { dom: domainRef(vmId), flags: 0 }, options)
  return postCopyStateOf(now) === 'split'
}

/** What became at the source of memory that a guest at the target waits for: `lost` with its QEMU, or `kept`, which it is until that has proved gone. Errors: LIBVIRT_*. */
export async function restAtSource(vmId: string, client: LibvirtCalls, ctx: OpContext): Promise<'kept' | 'lost'> {
  const since = monotonicMs()
  for (;;) {
    if ((await findDomain(client, vmId, ctx.signal)) === undefined) return 'lost'
    if (isOff(await readPowerState(client, vmId, ctx.signal))) return 'lost'
    // The end of a QEMU may be seen there first.
    const isKept = await isSplitAtSource(vmId, client, ctx.signal).catch(() => false)
    if (isKept || monotonicMs() - since > UNDECIDED_MS) return 'kept'
    await delay(POLL_MS, ctx.signal)
  }
}

/** Does `work` until it ends, or until `look` sees that the VM is split: then nothing may come of it any more, since a guest that waits for memory can stop QEMU, and with it libvirt's answers. Errors: MIGRATION_SPLIT, those of `work`. */
export async function unlessSplit<T>(
  work: Promise<T>,
  look: (signal: AbortSignal) => Promise<boolean>,
  split: () => AgentError,
  ctx: OpContext,
): Promise<T> {
  const over = new AbortController()
  const seen = (async () => {
    for (;;) {
      await delay(POLL_MS, over.signal)
      const isSplit = await look(over.signal).catch((error: unknown) => {
        ctx.log.debug({ err: errorText(error) }, 'cannot look whether a migration has broken off')
        return false
      })
      if (isSplit) throw split()
    }
  })()
  seen.catch(() => undefined)
  work.catch(() => undefined)
  try {
    return await Promise.race([work, seen])
  } finally {
    over.abort()
  }
}

/** MIGRATION_SPLIT as the source tells it. */
export function splitFromHere(vmId: string, name: string, rest: 'kept' | 'lost'): AgentError {
  const vm = `VM ${vmId} (${quote(name)})`
  return rest === 'lost'
    ? new AgentError(
        'MIGRATION_SPLIT',
        `${vm} is at the target host without the rest of its memory, which was lost with its QEMU here: force it off on the target host and start it there`,
      )
    : new AgentError(
        'MIGRATION_SPLIT',
        `${vm} stands still at the target host, waiting for memory that only this host has: its guest is kept paused here, and must not go on here. To give that memory up, destroy it here first (virsh destroy), then force it off on the target host and start it there, and undefine it here (docs/vms.md, Migration)`,
      )
}

/** MIGRATION_SPLIT as the target tells it. */
export function splitToHere(vmId: string, name: string): AgentError {
  return new AgentError(
    'MIGRATION_SPLIT',
    `VM ${vmId} (${quote(name)}) is here and stands still, waiting for memory that only the host has that it came from: to give that memory up, destroy it at that host first (virsh destroy), then force it off here and start it (docs/vms.md, Migration)`,
  )
}
