import { setTimeout as pause } from 'node:timers/promises'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import {
  VIR_DOMAIN_BLOCK_COMMIT,
  VIR_DOMAIN_BLOCK_JOB_ABORT,
  VIR_DOMAIN_BLOCK_JOB_TYPE as JOB_TYPE,
  VIR_ERR,
} from '../libvirt/constants.ts'
import { isLibvirtError, LibvirtGone } from '../libvirt/errors.ts'
import { uuidText } from '../libvirt/uuid.ts'
import { chainAt } from './layer-state.ts'
import { domainRef, isOff, readPowerState } from './libvirt-domain.ts'
import { readHalves } from './domain-halves.ts'
import { vmError } from './libvirt-errors.ts'
import type { SnapshotParts } from './read-snapshots.ts'

/** A layer of a running VM that is to go into the one below it. */
export interface LiveCommit {
  readonly vmId: string
  /** Target name of the disk. */
  readonly target: string
  readonly top: string
  readonly base: string
}

const CALL_TIMEOUT_MS = 120_000
const RECONNECT_WAIT_MS = 60_000
const LOOK_EVERY_MS = 500
const PATIENCE = 3
const COMMITS: readonly number[] = [JOB_TYPE.COMMIT, JOB_TYPE.ACTIVE_COMMIT]
const LOST = ['LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN'] as const

/**
 * Has QEMU write `top` into `base` while the guest runs; when that is done `top` is not in the disk any more. A job that is under way (of an agent or a libvirtd that died) is waited for, not begun again. Answers
 * 'off' when the VM went off under it: then the layers are as they were, or done. A cancelled one is ended, and the disk is as it was; the stop of the agent leaves it to the next start. A job of another kind (the copy of
 * somebody else, a backup) is never touched. Errors: VM_STATE_CONFLICT, LIBVIRT_*, DISK_CHAIN_BROKEN.
 */
export async function commitLive(job: LiveCommit, parts: SnapshotParts, ctx: OpContext): Promise<'done' | 'off'> {
  const { vmId, target } = job
  let wake = Promise.withResolvers<void>()
  const unsubscribe = await parts.client.subscribe('domain:BLOCK_JOB_2', ({ dom, dst }) => {
    if (uuidText(dom.uuid) === vmId && dst === target) wake.resolve()
  })
  // How often the job was missing although it was begun: libvirt may be about to write down that it has ended.
  let missed: number | undefined
  try {
    for (;;) {
      ctx.signal.throwIfAborted()
      try {
        const outcome = await look(job, missed, parts, ctx)
        if (outcome === 'done' || outcome === 'off') return outcome
        missed = outcome === 'missing' ? (missed ?? 0) + 1 : 0
      } catch (error) {
        if (!(error instanceof LibvirtGone) && !isAgentError(error, ...LOST)) throw error
        // QEMU goes on without it.
        const wait = AbortSignal.any([ctx.signal, AbortSignal.timeout(RECONNECT_WAIT_MS)])
        await parts.client.ready(wait).catch(() => Promise.reject(error))
      }
      await Promise.race([wake.promise, pause(LOOK_EVERY_MS)])
      wake = Promise.withResolvers()
    }
  } catch (error) {
    if (ctx.signal.aborted && !isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) await cancel(job, parts)
    throw vmError(error, vmId)
  } finally {
    unsubscribe().catch((error: unknown) => ctx.log.debug({ err: errorText(error) }, 'could not deregister an event'))
  }
}

async function look(
  { vmId, target, top, base }: LiveCommit,
  missed: number | undefined,
  { client }: SnapshotParts,
  ctx: OpContext,
): Promise<'done' | 'off' | 'missing' | 'running'> {
  const dom = domainRef(vmId)
  const options = { timeoutMs: CALL_TIMEOUT_MS, signal: ctx.signal }
  try {
    const job = await client.call('remote:DOMAIN_GET_BLOCK_JOB_INFO', { dom, path: target, flags: 0 }, options)
    const { live } = await readHalves(client, vmId, ctx.signal)
    if (live === undefined) return 'off'
    const chain = chainAt(live, target)
    if (job.found === 0) {
      if (!chain.includes(top)) {
        if (chain.includes(base)) return 'done'
        throw new AgentError(
          'VM_STATE_CONFLICT',
          `VM ${vmId}: somebody else has put disk ${target} on ${quote(chain[0] ?? 'nothing')} while it was merged; look at its block jobs, then repeat this`,
        )
      }
      if (missed !== undefined && missed < PATIENCE) return 'missing'
      if (missed !== undefined) {
        throw new AgentError(
          'DISK_CHAIN_BROKEN',
          `VM ${vmId}: QEMU could not write ${quote(top)} into ${quote(base)}; the disk is as it was. See the VM's log, and whether the pool is full or gone`,
        )
      }
      const flags = chain[0] === top ? VIR_DOMAIN_BLOCK_COMMIT.ACTIVE : 0
      const args = { dom, disk: target, base, top, bandwidth: 0n, flags }
      await client.call('remote:DOMAIN_BLOCK_COMMIT', args, { timeoutMs: CALL_TIMEOUT_MS })
      return 'running'
    }
    if (!COMMITS.includes(job.type)) throw otherJob(vmId, target, job.type)
    const [bytesDone, bytesTotal] = [Number(job.cur), Number(job.end)]
    ctx.progress?.({ phase: `merge of disk ${target}`, bytesDone, bytesTotal })
    if (job.type === JOB_TYPE.ACTIVE_COMMIT && chain[0] === top && bytesDone === bytesTotal)
      await pivot(vmId, target, client)
    return 'running'
  } catch (error) {
    // libvirt says this of a VM that is off, and of much else.
    const invalid = isLibvirtError(error, VIR_ERR.OPERATION_INVALID)
    if (invalid && isOff(await readPowerState(client, vmId, ctx.signal))) return 'off'
    throw error
  }
}

function otherJob(vmId: string, target: string, type: number): AgentError {
  const name = Object.entries(JOB_TYPE).find(([, value]) => value === type)?.[0] ?? String(type)
  return new AgentError(
    'VM_STATE_CONFLICT',
    `VM ${vmId}: a block job of another kind (${name.toLowerCase()}) is at work on disk ${target}, which cannot be merged meanwhile; wait for its end or end it, then repeat this`,
    { details: { disk: target, job: name.toLowerCase() } },
  )
}

async function pivot(vmId: string, target: string, client: SnapshotParts['client']): Promise<void> {
  const args = { dom: domainRef(vmId), path: target, flags: VIR_DOMAIN_BLOCK_JOB_ABORT.PIVOT }
  try {
    await client.call('remote:DOMAIN_BLOCK_JOB_ABORT', args, { timeoutMs: CALL_TIMEOUT_MS })
  } catch (error) {
    // The guest has written since: a moment later.
    if (!isLibvirtError(error, VIR_ERR.BLOCK_COPY_ACTIVE)) throw error
  }
}

async function cancel({ vmId, target }: LiveCommit, { client, log }: SnapshotParts): Promise<void> {
  try {
    const args = { dom: domainRef(vmId), path: target, flags: 0 }
    const job = await client.call('remote:DOMAIN_GET_BLOCK_JOB_INFO', args, { timeoutMs: CALL_TIMEOUT_MS })
    if (job.found === 0 || !COMMITS.includes(job.type)) return
    await client.call('remote:DOMAIN_BLOCK_JOB_ABORT', args, { timeoutMs: CALL_TIMEOUT_MS })
  } catch (error) {
    log.warn({ vm: vmId, disk: target, err: errorText(error) }, 'a merge that was cancelled goes on in QEMU')
  }
}
