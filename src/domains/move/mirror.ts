import { setTimeout as pause } from 'node:timers/promises'
import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import { placeOf } from '../../core/model.ts'
import {
  VIR_DOMAIN_BLOCK_COPY as FLAGS,
  VIR_DOMAIN_BLOCK_JOB_ABORT as ABORT,
  VIR_DOMAIN_BLOCK_JOB_TYPE as JOB_TYPE,
  VIR_ERR,
} from '../../libvirt/constants.ts'
import { isLibvirtError, LibvirtGone, LibvirtTimeout } from '../../libvirt/errors.ts'
import { typedParam } from '../../libvirt/typed-params.ts'
import { uuidText } from '../../libvirt/uuid.ts'
import { writeXml } from '../../libvirt/write-xml.ts'
import { el } from '../../libvirt/xml-node.ts'
import { devicePlace } from '../device-place.ts'
import { backingStoreXml, sourceXml } from '../disk-xml.ts'
import { mediaXml, readHalves } from '../domain-halves.ts'
import { chainOf } from '../domain-info.ts'
import { domainRef, isOff, readPowerState } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { readGuestSide, type CopiedDisk } from './guest-side.ts'
import type { MoveParts } from './move-request.ts'

/** A copy of a disk under a running guest, into an empty volume that is there. */
export interface Mirror extends CopiedDisk {
  /** 0 = no limit. */
  readonly bytesPerSecond: number
}

const CALL_TIMEOUT_MS = 120_000
const RECONNECT_WAIT_MS = 60_000
const END_WAIT_MS = 60_000
const LOOK_EVERY_MS = 500
const PATIENCE = 3
/** So often in a row nothing may be heard of libvirt, each time after a wait for it. */
const MAX_LOST = 5

/** What is to be known of a switch. Both are awaited. */
export interface SwitchWatch {
  /** From now on the guest may be on the copy. */
  beforeSwitch(): Promise<void>
  /** The copy has ended, and the guest is on the source for good. */
  stayed(): Promise<void>
}

/** The block job on the disk: `none`, at work, or in step with the guest and waiting for the switch. */
type JobState = 'none' | 'copying' | 'ready'

/**
 * Has QEMU copy a disk while the guest runs, and switch the guest to the copy. From `beforeSwitch` on whatever the guest has written is in both, until `stayed` says that it is in the source alone. A job that is under way (of an agent or a libvirtd that died) is
 * gone on with. Answers 'off' when the VM went off under it. A cancelled one is ended and the guest stays on the source, unless it has switched: then that is the answer. The stop of the agent leaves the job to the next start.
 * Errors: DISK_MOVE_FAILED when QEMU gave it up, VM_STATE_CONFLICT, LIBVIRT_*.
 */
export async function mirrorDisk(
  mirror: Mirror,
  watch: SwitchWatch,
  parts: MoveParts,
  ctx: OpContext,
): Promise<'switched' | 'off'> {
  const { vmId, target } = mirror
  let wake = Promise.withResolvers<void>()
  const unsubscribe = await parts.client.subscribe('domain:BLOCK_JOB_2', ({ dom, dst }) => {
    if (uuidText(dom.uuid) === vmId && dst === target) wake.resolve()
  })
  const stopped = () => wake.resolve()
  ctx.signal.addEventListener('abort', stopped)
  // How often the job was missing although it was begun: libvirt may be about to write down that it has ended.
  let missed: number | undefined
  let lost = 0
  try {
    for (;;) {
      ctx.signal.throwIfAborted()
      try {
        const job = await readJob(mirror, parts, ctx)
        const side = await readGuestSide(mirror, parts.client, ctx.signal)
        if (side === 'off') return 'off'
        lost = 0
        if (job === 'none' && side === 'copy') return 'switched'
        if (job === 'none') {
          if (missed === undefined) await begin(mirror, parts)
          else if (missed >= PATIENCE) throw givenUp(mirror)
          missed = missed === undefined ? 0 : missed + 1
        } else {
          missed = 0
          if (job === 'ready' && side === 'source') {
            await watch.beforeSwitch()
            ctx.signal.throwIfAborted()
            await endJob(mirror, ABORT.PIVOT, parts)
          }
        }
      } catch (error) {
        if (!isLost(error)) throw error
        // QEMU goes on without it.
        if (++lost > MAX_LOST) throw error
        const wait = AbortSignal.any([ctx.signal, AbortSignal.timeout(RECONNECT_WAIT_MS)])
        await parts.client.ready(wait).catch(() => Promise.reject(error))
      }
      await Promise.race([wake.promise, pause(LOOK_EVERY_MS)])
      wake = Promise.withResolvers()
    }
  } catch (error) {
    if (isInvalid(error) && (await isNowOff(vmId, parts))) return 'off'
    if (ctx.signal.aborted && isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
    const side = await endMirror(mirror, parts)
    if (side === 'copy') return 'switched'
    if (side === 'source') await watch.stayed()
    throw vmError(error, vmId)
  } finally {
    ctx.signal.removeEventListener('abort', stopped)
    unsubscribe().catch((error: unknown) => ctx.log.debug({ err: errorText(error) }, 'could not deregister an event'))
  }
}

/** Ends the copy of a disk if there is one, and says what the guest is on afterwards; `off` too. Errors: VM_STATE_CONFLICT for the job of somebody else, LIBVIRT_*. */
export async function endMirror(mirror: CopiedDisk, parts: MoveParts): Promise<'source' | 'copy' | 'off'> {
  const ctx = { signal: AbortSignal.timeout(END_WAIT_MS), log: parts.log }
  await parts.client.ready(ctx.signal)
  try {
    for (;;) {
      if ((await readJob(mirror, parts, ctx)) === 'none') return await readGuestSide(mirror, parts.client, ctx.signal)
      await endJob(mirror, 0, parts)
      await pause(LOOK_EVERY_MS, undefined, { signal: ctx.signal })
    }
  } catch (error) {
    if (isInvalid(error) && (await isNowOff(mirror.vmId, parts))) return 'off'
    throw vmError(error, mirror.vmId)
  }
}

/** Whether the copy of this disk is under way. Errors as `endMirror`. */
export async function isMirroring(mirror: CopiedDisk, parts: MoveParts, ctx: OpContext): Promise<boolean> {
  return (await readJob(mirror, parts, ctx)) !== 'none'
}

async function readJob({ vmId, target, copy }: CopiedDisk, { client }: MoveParts, ctx: OpContext): Promise<JobState> {
  const args = { dom: domainRef(vmId), path: target, flags: 0 }
  const options = { timeoutMs: CALL_TIMEOUT_MS, signal: ctx.signal }
  const job = await client.call('remote:DOMAIN_GET_BLOCK_JOB_INFO', args, options)
  if (job.found === 0) return 'none'
  const { live } = await readHalves(client, vmId, ctx.signal)
  const disk = live && mediaXml(live).find((one) => one.first('target')?.attribute('dev') === target)
  const mirror = disk?.first('mirror')
  const isOther =
    mirror !== undefined && (await devicePlace(chainOf(mirror)[0] ?? '')) !== (await devicePlace(placeOf(copy)))
  if (job.type !== JOB_TYPE.COPY || isOther) throw otherJob(vmId, target, job.type)
  // libvirt lets the two be equal only when both sides are in step.
  const [bytesDone, bytesTotal] = [Number(job.cur), Number(job.end)]
  ctx.progress?.({ phase: 'copying', bytesDone, bytesTotal })
  return bytesDone === bytesTotal ? 'ready' : 'copying'
}

async function begin({ vmId, target, copy, bytesPerSecond }: Mirror, { client }: MoveParts): Promise<void> {
  // SYNCHRONOUS_WRITES: once in step, always in step; and a guest that writes faster than the pool takes it cannot put the switch off for ever.
  const flags = FLAGS.REUSE_EXT | FLAGS.TRANSIENT_JOB | FLAGS.SYNCHRONOUS_WRITES
  const destxml = writeXml(
    el('disk', { type: copy.type }, [
      el('driver', { name: 'qemu', type: copy.format }),
      sourceXml(copy),
      backingStoreXml([]),
    ]),
  )
  const params = bytesPerSecond === 0 ? [] : [typedParam.ullong('bandwidth', BigInt(bytesPerSecond))]
  const args = { dom: domainRef(vmId), path: target, destxml, params, flags }
  await client.call('remote:DOMAIN_BLOCK_COPY', args, { timeoutMs: CALL_TIMEOUT_MS })
}

async function endJob({ vmId, target }: CopiedDisk, flags: number, { client, log }: MoveParts): Promise<void> {
  const args = { dom: domainRef(vmId), path: target, flags }
  try {
    await client.call('remote:DOMAIN_BLOCK_JOB_ABORT', args, { timeoutMs: CALL_TIMEOUT_MS })
  } catch (error) {
    if (error instanceof LibvirtGone) throw error
    // It has ended by itself, or is not ready any more: the next look tells.
    if (
      !isLibvirtError(
        error,
        VIR_ERR.BLOCK_COPY_ACTIVE,
        VIR_ERR.OPERATION_INVALID,
        VIR_ERR.INVALID_ARG,
        VIR_ERR.OPERATION_FAILED,
      )
    )
      throw error
    log.debug({ vm: vmId, disk: target, err: errorText(error) }, 'a copy does not end yet')
  }
}

/** True when libvirt went away or did not answer in time: what QEMU does goes on. */
export function isLost(error: unknown): error is Error {
  if (error instanceof LibvirtGone || error instanceof LibvirtTimeout) return true
  return isAgentError(error, 'LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN', 'LIBVIRT_TIMEOUT')
}

function isInvalid(error: unknown): boolean {
  return isLibvirtError(error, VIR_ERR.OPERATION_INVALID)
}

// libvirt says "invalid" of a VM that is off, and of much else.
async function isNowOff(vmId: string, { client }: MoveParts): Promise<boolean> {
  return isOff(await readPowerState(client, vmId, AbortSignal.timeout(CALL_TIMEOUT_MS)))
}

function givenUp({ vmId, target }: Mirror): AgentError {
  return new AgentError(
    'DISK_MOVE_FAILED',
    `VM ${vmId}: QEMU could not write disk ${target} into the new volume and gave the copy up; the guest goes on with the old one. See whether the pool is full or gone, and the VM's log`,
  )
}

/** The refusal of a disk that has a block job of somebody else; `type` is a virDomainBlockJobType. */
export function otherJob(vmId: string, target: string, type: number): AgentError {
  const name =
    Object.entries(JOB_TYPE)
      .find(([, value]) => value === type)?.[0]
      ?.toLowerCase() ?? String(type)
  return new AgentError(
    'VM_STATE_CONFLICT',
    `VM ${vmId}: a block job of somebody else (${name}) is at work on disk ${target}, which cannot be moved meanwhile; wait for its end or end it, then repeat this`,
    { details: { disk: target, job: name } },
  )
}
