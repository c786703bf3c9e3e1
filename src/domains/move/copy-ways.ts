import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import type { DiskSource, Volume } from '../../core/model.ts'
import { delay } from '../../platform/clock.ts'
import { readMounts } from '../../platform/mounts.ts'
import type { VolumeContent } from '../../storage/backend.ts'
import { firstBytes } from '../../storage/first-bytes.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { diskIoFor } from '../disk-io.ts'
import type { DomainHalf, DomainHalves } from '../domain-halves.ts'
import type { DomainInventory } from '../inventory.ts'
import { isOff } from '../libvirt-domain.ts'
import { makeVolume } from '../make-volume.ts'
import { vmOwner } from '../names.ts'
import { leasedDisk } from '../vm-lease.ts'
import { withLease } from '../with-lease.ts'
import { readGuestSide } from './guest-side.ts'
import { isMirroring, mirrorDisk, type SwitchWatch } from './mirror.ts'
import { refuseKept } from './move-obstacles.ts'
import { defineNext } from './moved-definition.ts'
import { copiedDisk, diskAt, type MoveParts, type MoveRequest } from './move-request.ts'
import { sizeOf, type MovePlan } from './plan-move.ts'
import { readSettledHalves } from './settled-halves.ts'

/** What both ways of copying a disk work on. */
export interface CopyWork {
  readonly request: MoveRequest
  readonly plan: MovePlan
  readonly halves: DomainHalves
  readonly parts: MoveParts
  readonly inventory: DomainInventory
  readonly ctx: OperationContext<unknown>
  readonly afterStep: (name: string) => void
  /** The new volume, if it is there. */
  copy(): Promise<Volume | undefined>
  /** Removes it: what an interrupted copy has left is of another time. */
  dropCopy(): Promise<void>
  /** Notes where it is, before anything may have it as the disk: whose disk it is has to be told also when its pool is away. */
  noteCopy(copy: DiskSource): Promise<void>
  /** Notes when the guest may be on the copy. */
  readonly watch: SwitchWatch
}

/** A way of getting a disk into a new volume, and the VM onto that. */
export interface CopyWay {
  /** False: the VM went on or off meanwhile, which the other way is for, or its disk got another size. */
  run(work: CopyWork): Promise<boolean>
}

/** How a disk is copied, by what the VM does now. */
export function copyWayOf({ live }: Pick<DomainHalves, 'live'>): CopyWay {
  return live === undefined ? COLD : LIVE
}

const DEFINE_TIMEOUT_MS = 120_000
const RECONNECT_WAIT_MS = 60_000
const RETRY_MS = 500

/** The storage copies what nobody writes to, then the VM is defined with the copy. */
const COLD: CopyWay = {
  async run(work) {
    const { request, plan, halves, parts, inventory, ctx, afterStep } = work
    const { vmId } = request
    // The agent starts no VM that is locked; somebody else might, and what that guest wrote would be missing.
    let isStarted = false
    const stop = inventory.onChange((changed) => {
      if (changed !== vmId) return
      // Never thrown at whoever tells of changes; while libvirt is away nobody starts a VM through it.
      const look = async () => {
        const { state } = await inventory.entry(vmId, ctx.signal)
        if (!isOff(state)) isStarted = true
      }
      look().catch((error: unknown) => ctx.log.debug({ vm: vmId, err: errorText(error) }, 'no word of a VM'))
    })
    try {
      await work.dropCopy()
      const copyAndDefine = async () => {
        const made = await makeVolume(
          planned(plan, { type: 'copy', source: plan.source }, vmId),
          about(work),
          parts.deps,
          ctx,
        )
        await work.noteCopy(made.source)
        afterStep('copied')
        const patience = AbortSignal.timeout(RECONNECT_WAIT_MS)
        for (;;) {
          try {
            isStarted ||= (await readSettledHalves(vmId, parts.client, ctx.signal)).live !== undefined
            if (isStarted || !(await isAsPlanned(work))) return false
            const own = { ...ctx, signal: AbortSignal.timeout(DEFINE_TIMEOUT_MS) }
            await defineNext(vmId, plan, made, parts, own)
            return await hasCopy(work, made.source, own)
          } catch (error) {
            // What was copied is not copied again for a restart of libvirtd.
            if (!isAgentError(error, 'LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN')) throw error
            await delay(RETRY_MS, patience).catch(() => Promise.reject(error))
            ctx.signal.throwIfAborted()
          }
        }
      }
      return await withLease(halves.config.facts, parts.deps, copyAndDefine, ctx)
    } finally {
      stop()
    }
  },
}

// The VM's lock keeps nobody from the volume of a VM that is off: what was done to it meanwhile would be lost with it. A snapshot of it throws DISK_MOVE_REFUSED.
async function isAsPlanned({ request, plan, halves, parts, ctx }: CopyWork): Promise<boolean> {
  const disk = diskAt(halves.config, plan.target)
  const refused = (why: string) =>
    new AgentError('DISK_MOVE_REFUSED', `disk ${plan.diskId} of VM ${request.vmId}: ${why}`)
  if (disk !== undefined) await refuseKept(disk, parts, refused, ctx)
  return (await sizeOf(plan.source, ctx)) === plan.sizeBytes
}

// Who was starting the VM while it was defined has the old disk under the guest.
async function hasCopy({ request, plan, parts }: CopyWork, copy: DiskSource, ctx: OpContext): Promise<boolean> {
  const { vmId } = request
  const { live } = await readSettledHalves(vmId, parts.client, ctx.signal)
  if (live === undefined) return true
  return (await readGuestSide(copiedDisk(vmId, plan, live, copy), parts.client, ctx.signal)) !== 'source'
}

/** QEMU copies under the guest, and switches it. */
const LIVE: CopyWay = {
  async run(work) {
    const { request, plan, halves, parts, ctx, afterStep } = work
    const { vmId, bytesPerSecond } = request
    const mirrorTo = (copy: DiskSource) => ({ ...copiedDisk(vmId, plan, halves.live, copy), bytesPerSecond })
    const present = await work.copy()
    const isUnderWay = present !== undefined && (await isMirroring(mirrorTo(present.source), parts, ctx))
    const { backend } = await parts.deps.pools.require(plan.volume.poolId, ctx)
    const content = { type: 'copy', source: plan.source } as const
    const bytes = isUnderWay ? 0 : await firstBytes({ content }, backend, ctx)
    const space = await parts.deps.pools.reserve(plan.volume.poolId, bytes, ctx, about(work).purpose)
    try {
      let copy = present?.source
      if (copy === undefined || !isUnderWay) {
        await work.dropCopy()
        copy = (await backend.createVolume(planned(plan, { type: 'empty' }, vmId).spec, ctx)).source
        afterStep('volume')
      }
      await work.noteCopy(copy)
      await refuseOtherIo(plan, halves.live, copy)
      const disks = [leasedDisk(plan.diskId, copy)]
      await parts.deps.leases?.claim({ vmId, disks }, { takeOver: false, runsHere: true }, ctx)
      return (await mirrorDisk(mirrorTo(copy), work.watch, parts, ctx)) === 'switched'
    } finally {
      space.release()
    }
  },
}

function about({ request, plan }: CopyWork) {
  return { what: `disk ${plan.diskId}`, purpose: `the move of disk ${plan.diskId} of VM ${request.vmId}` }
}

function planned({ volume, format, sizeBytes }: MovePlan, content: VolumeContent, vmId: string) {
  const { poolId, name } = volume
  return { poolId, spec: { name, format, sizeBytes, content, owner: vmOwner(vmId) } }
}

// How QEMU opens a disk stays as it is until the next start of the VM.
async function refuseOtherIo({ diskId, target, volume }: MovePlan, live: DomainHalf | undefined, copy: DiskSource) {
  const disk = live?.xml
    .first('devices')
    ?.all('disk')
    .find((one) => one.first('target')?.attribute('dev') === target)
  const isDirect = disk?.first('driver')?.attribute('cache') === 'none'
  if (!isDirect || copy.type !== 'file' || diskIoFor(copy, await readMounts()).cache === 'none') return
  throw new AgentError(
    'DISK_MOVE_REFUSED',
    `disk ${diskId}: the running guest has it open past the page cache, which the file system of pool ${volume.poolId} cannot do; power the VM off, then move it`,
  )
}
