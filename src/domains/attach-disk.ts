import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { placeOf, type DiskSpec } from '../core/model.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { OperationContext, OperationHandler } from '../operations/operation.ts'
import { runSaga, undoSaga, type SagaJournal } from '../operations/saga.ts'
import { attachDevice } from './attach-device.ts'
import { attachSteps, initialAttachState, type AttachParams, type AttachState } from './attach-disk-steps.ts'
import type { DomainDeps } from './deps.ts'
import type { RemovalParts } from './device-removal.ts'
import { isDiskBeingCleanedUp } from './disk-cleanup.ts'
import { diskElement } from './device-unplug.ts'
import { VIR_DOMAIN_AFFECT } from '../libvirt/constants.ts'
import type { DomainDisk } from './domain-info.ts'
import { readHalves, type DomainHalf, type DomainHalves } from './domain-halves.ts'
import { freePlace } from './free-place.ts'
import { planDisk, type PlannedDisk } from './plan.ts'
import { writersOf } from './pool-users.ts'
import { vmLock } from './power.ts'
import { toNode } from './read-xml.ts'
import { checkDisk } from './vm-spec.ts'

/** Kind of the operation in the journal. */
export const ATTACH_DISK_KIND = 'vm.attach-disk'

/** What adding and removing disks needs. */
export interface DiskAttacherOptions {
  readonly deps: DomainDeps
  readonly parts: RemovalParts
  readonly operations: OperationManager
  /** How long an undo waits for libvirt before it leaves the rest to a cleanup operation; default 20 s. */
  readonly undoWaitMs?: number
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}

type Context = OperationContext<SagaJournal<AttachState>>

const UNDO_WAIT_MS = 20_000

/** Adds disks to VMs as journaled sagas: in the running guest and its definition, with the volume that was made for it, or nothing of it. Registers its operation kind when constructed. */
export class DiskAttacher {
  readonly #options: DiskAttacherOptions

  constructor(options: DiskAttacherOptions) {
    this.#options = options
    options.operations.register(this.#handler())
  }

  /**
   * Adds a disk; without a pool its volume goes next to the VM's first disk. The same disk again is success. Aborting `signal` ends the waiting, not the work. Errors: VM_NOT_FOUND, VM_NOT_MANAGED,
   * VM_SPEC_INVALID, INVALID_*, CONFLICT (another disk has the id, or its volume is there), HOTPLUG_UNSUPPORTED, those of `planDisk`, POOL_FULL, LIBVIRT_*, ABORTED_BY_RESTART.
   */
  async attach(vmId: string, given: DiskSpec, signal: AbortSignal): Promise<void> {
    const { deps, operations } = this.#options
    // What can be said at once is said without an operation.
    const { config } = await readHalves(deps.libvirt, vmId, signal)
    const disk = checkDisk(given, 'disk', config.facts)
    const record = await operations.start<AttachParams>(
      ATTACH_DISK_KIND,
      { vmId, disk },
      { subject: `vm ${vmId}`, dedupeKey: `${ATTACH_DISK_KIND}:${vmId}:${disk.id}`, locks: [vmLock(vmId)] },
    )
    const twin = (record.params as AttachParams).disk
    if (JSON.stringify(twin) !== JSON.stringify(disk)) throw different(vmId, disk.id)
    await operations.result(record.id, signal)
    await this.#options.parts.inventory.settle(vmId)
  }

  #handler(): OperationHandler<AttachParams, undefined, SagaJournal<AttachState>> {
    const { deps, parts, operations, undoWaitMs = UNDO_WAIT_MS } = this.#options
    const base = { deps, parts, operations, undoWaitMs }
    return {
      kind: ATTACH_DISK_KIND,
      onRestart: 'rollback',
      onShutdown: 'finish',
      run: async (params, ctx) => {
        const { vmId, disk } = params
        if (isDiskBeingCleanedUp(operations, vmId, disk.id)) {
          throw new AgentError(
            'CONFLICT',
            `VM ${vmId}: an earlier disk ${disk.id} is still being removed; retry later, or use another id`,
          )
        }
        await deps.splits?.refuse(vmId, ctx.signal)
        const halves = await readHalves(deps.libvirt, vmId, ctx.signal)
        if (!halves.config.facts.managed) {
          throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which adds no disks to it`)
        }
        if (await this.#isThere(halves, disk)) return
        const plan = await this.#plan(halves, disk, ctx)
        await runSaga(attachSteps({ ...base, plan }), params, initialAttachState(plan), ctx, this.#options.afterStep)
      },
      rollback: async (params, ctx) => {
        if (ctx.journal !== undefined) await undoSaga(attachSteps(base), params, ctx.journal, ctx)
      },
    }
  }

  /** True when the VM has this very disk; a half that lacks it (a guest that let it go too late) gets it. CONFLICT when another one has its id. */
  async #isThere({ live, config }: DomainHalves, disk: DiskSpec): Promise<boolean> {
    const { vmId } = config.facts
    const find = (half: DomainHalf | undefined) => half?.facts.disks.find(({ id }) => id === disk.id)
    const [here, next] = [find(live), find(config)]
    const present = next ?? here
    if (present === undefined) return false
    if (!isSame(present, disk)) throw different(vmId, disk.id)
    const add = async (half: DomainHalf, flags: number) => {
      const element = diskElement(half, present.targetDev)
      if (element !== undefined)
        await attachDevice(vmId, toNode(element), flags, `disk ${disk.id}`, this.#options.deps.libvirt)
    }
    if (live !== undefined && here === undefined) await add(config, VIR_DOMAIN_AFFECT.LIVE)
    if (live !== undefined && next === undefined) await add(live, VIR_DOMAIN_AFFECT.CONFIG)
    return true
  }

  async #plan({ live, config }: DomainHalves, disk: DiskSpec, ctx: Context) {
    const { deps } = this.#options
    const { vmId } = config.facts
    if (live !== undefined && disk.bus === 'sata') {
      throw new AgentError(
        'HOTPLUG_UNSUPPORTED',
        `VM ${vmId}: SATA disk ${disk.id} cannot be added while it runs; use virtio or scsi, or add it while the VM is off`,
      )
    }
    const poolId = disk.poolId || (config.facts.disks[0]?.poolId ?? '')
    const plan = await planDisk({ ...disk, poolId }, config.facts, deps, ctx)
    await this.#refuseTaken(plan, config.facts, ctx)
    const halves = live === undefined ? [config] : [config, live]
    return { ...plan, place: freePlace(halves, disk.bus) }
  }

  // An undo deletes what was made, so it must not have been there; a disk that another guest writes to would be lost.
  async #refuseTaken({ from, disk }: PlannedDisk, vm: DomainHalf['facts'], ctx: Context): Promise<void> {
    const { pools, domains } = this.#options.deps
    if (from.type === 'new') {
      const { backend } = await pools.require(from.poolId, ctx)
      if ((await backend.getVolume(from.spec.name, ctx)) === undefined) return
      throw new AgentError(
        'CONFLICT',
        `disk ${disk.id} of VM ${vm.vmId}: pool ${from.poolId} has a volume ${from.spec.name} from an earlier disk; attach that by its path, delete it, or use another id`,
      )
    }
    const place = placeOf(from.source)
    if (vm.paths.includes(place)) {
      throw new AgentError('CONFLICT', `disk ${disk.id}: VM ${vm.vmId} has ${quote(place)} attached under another id`)
    }
    const writers = await writersOf(place, domains)
    if (writers.length === 0) return
    throw new AgentError(
      'VOLUME_IN_USE',
      `disk ${disk.id}: ${quote(place)} is a disk of ${writers.join(', ')}, running now`,
    )
  }
}

// A disk may have grown since, and pools round sizes up.
function isSame(present: DomainDisk, wanted: DiskSpec): boolean {
  const samePlace =
    wanted.path === '' ||
    wanted.path === present.path ||
    (wanted.path === present.volume && (wanted.poolId === '' || wanted.poolId === present.poolId))
  return samePlace && present.bus === wanted.bus && present.sizeBytes >= wanted.sizeBytes
}

function different(vmId: string, diskId: string): AgentError {
  return new AgentError(
    'CONFLICT',
    `VM ${vmId} has another disk with id ${diskId}; use another id, or detach that one first`,
  )
}
