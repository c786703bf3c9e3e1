import type { Logger, OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import { VIR_DOMAIN_STATE } from '../libvirt/constants.ts'
import type { PoolBackend } from '../storage/backend.ts'
import type { GuestLease, GuestLeaseFacts, LeasedDisk, LeasePlace } from '../storage/guest-lease.ts'
import type { GuestLeases } from '../storage/guest-leases.ts'
import type { ActivePool, PoolAccess } from '../storage/pool-access.ts'
import type { DomainEntry } from './domain-entry.ts'
import type { DomainInventory } from './inventory.ts'
import { elsewhere, inUse, objectionTo } from './lease-objection.ts'
import { domainRef, hasQemu, isOff, isPostCopyBroken, type LibvirtCalls } from './libvirt-domain.ts'
import { vmLock } from './power.ts'
import { RetryPauses } from './retry-pauses.ts'
import { hasSavedState } from './saved-state.ts'
import type { ClaimHow, LeasedVm, LeaseKeeper } from './vm-lease.ts'

export interface VmLeasesOptions {
  readonly pools: Pick<PoolAccess, 'findByPlace' | 'holderOf'>
  readonly leases: GuestLeases
  /** Agent id and name of this host. */
  readonly agentId: string
  readonly host: string
  readonly inventory: DomainInventory
  readonly libvirt: LibvirtCalls
  /** Those of the OperationManager: a lease is not given back while its VM is being started. */
  readonly locks: KeyedLock
  readonly log: Logger
  /** Which pools other hosts have too; default: by their type. */
  readonly isShared?: (pool: ActivePool) => boolean
  /** How long a QEMU of this host that was killed may still count as a writer. */
  readonly lingerMs?: number
}

const CALL_TIMEOUT_MS = 60_000
const READ_TIMEOUT_MS = 15_000
const MAX_RACES = 5
/** Watches of Ceph end 30 s after their client. */
const LINGER_MS = 40_000
/** Jobs of agents have images open for moments: a snapshot, a look at a volume. */
const MOMENT_MS = 5_000
/** The rest of a lease fits into its file. */
const MAX_HOST_LENGTH = 64

/** Where a lease of a VM is, and the disks that it is for. */
interface LeasedPool {
  readonly pool: ActivePool
  readonly place: LeasePlace
  readonly disks: LeasedDisk[]
}

/**
 * Leases on VMs with disks in pools that several hosts have: who runs one holds its lease in each of these pools, and nobody else starts it. A lease has no time: the silence of an agent says nothing about its
 * guests. What ends one is its holder, or the proof that nobody writes to the disks (QEMU's own locks on files, the watchers of Ceph images), or that the guest itself is here now, where the storage lets only one write; else an admin who says so.
 * Where the storage refuses no second writer, all looks are before the start: before the lease is taken, which only succeeds as long as it is the one that was looked at, and after it. Until the guest is seen to run, the lease then says that nothing can be proved.
 */
export class VmLeases implements LeaseKeeper {
  readonly #options: VmLeasesOptions
  /** VMs whose leases this agent has looked at in their present run; `claimed`: they are to be looked at once more when it runs. */
  readonly #held = new Map<string, 'claimed' | 'running'>()
  readonly #pauses = new RetryPauses((vmId) => this.#followSafely(vmId))
  #stop: (() => void) | undefined

  constructor(options: VmLeasesOptions) {
    this.#options = options
  }

  /** From now on leases follow the VMs: those that run without one get it, those that are off give it back. */
  start(): void {
    const { inventory } = this.#options
    this.#stop = inventory.onChange((vmId) => this.#followSafely(vmId))
    inventory
      .listedOnce(AbortSignal.timeout(2 ** 31 - 1))
      .then(async () => {
        for (const { facts, state } of inventory.entriesHere()) {
          // What an earlier run of the agent has taken.
          if (isOff(state)) this.#held.set(facts.vmId, 'running')
          this.#followSafely(facts.vmId)
        }
      })
      .catch(() => undefined)
  }

  stop(): void {
    this.#stop?.()
    this.#pauses.stop()
  }

  /**
   * Takes the leases of a VM that is about to run here; `undo` of the answer gives back those that were not there before. Errors: VM_RUNS_ELSEWHERE naming host and time, POOL_*, DEADLINE_EXCEEDED.
   */
  async claim(vm: LeasedVm, how: ClaimHow, ctx: OpContext): Promise<{ undo(): Promise<void> }> {
    const { vmId } = vm
    const pools = this.#poolsOf(vm)
    const taken: { place: LeasePlace; lease: GuestLease }[] = []
    const before = this.#held.get(vmId)
    const undo = async () => {
      for (const { place, lease } of taken) await place.release(vmId, lease, timed(ctx.log))
      this.#held.set(vmId, 'claimed')
    }
    // What is left over, or taken without an answer, is looked at again: given back when the VM is off.
    this.#held.set(vmId, 'claimed')
    try {
      this.#requireInUse(vm, ({ leases }) => leases?.refusesSecondWriter === false)
      for (const leased of pools) {
        const lease = await this.#claimIn(leased, vmId, how, ctx)
        if (lease === undefined) continue
        taken.push({ place: leased.place, lease })
      }
      for (const { place, disks } of pools)
        if (isToLook(place, how)) await refuseWritten(vmId, place, disks, MOMENT_MS, ctx)
    } catch (error) {
      await undo().catch((failure: unknown) => {
        ctx.log.warn({ vm: vmId, err: errorText(failure) }, 'a lease could not be given back; it follows the VM')
      })
      throw error
    }
    const isSeen = pools.every(({ place }) => place.refusesSecondWriter) || (before === 'running' && staysHere(how))
    if (isSeen) this.#held.set(vmId, 'running')
    this.#pauses.forget(vmId)
    return { undo }
  }

  /** Says that the memory of a VM is about to be saved, before it is: from then on the absence of writers proves nothing. */
  async keepSaved(vm: LeasedVm, ctx: OpContext): Promise<void> {
    for (const { place } of this.#poolsOf(vm)) {
      const present = await place.read(vm.vmId, ctx)
      if (present !== undefined && !this.#isOwn(present)) continue
      const facts = this.#facts('saved')
      const lease =
        present === undefined
          ? await place.take(vm.vmId, undefined, facts, ctx)
          : await place.write(vm.vmId, present, facts, ctx)
      if (lease === undefined) throw takenMeanwhile(vm.vmId)
    }
  }

  /** VM_RUNS_ELSEWHERE when another host has the VM, before any of its files is deleted or written to. `disks` are all of these, whatever becomes of them: its guest stands on files that nobody writes to. Errors as `claim`. */
  async refuseElsewhere(vm: LeasedVm, ctx: OpContext): Promise<void> {
    for (const { place, disks } of this.#poolsOf(vm)) {
      const present = await place.read(vm.vmId, ctx)
      if (present === undefined || this.#isOwn(present)) continue
      const why = await objectionTo(present, place, disks, MOMENT_MS, ctx)
      if (why !== undefined) throw elsewhere(vm.vmId, present, why)
    }
  }

  // The lease when it was taken just now, undefined when this host had it.
  async #claimIn(
    { pool, place, disks }: LeasedPool,
    vmId: string,
    how: ClaimHow,
    ctx: OpContext,
  ): Promise<GuestLease | undefined> {
    const facts = this.#facts(place.refusesSecondWriter || staysHere(how) ? 'running' : 'claimed')
    for (let race = 0; race < MAX_RACES; race++) {
      const present = await place.read(vmId, ctx)
      const isOwn = present !== undefined && this.#isOwn(present)
      if (present !== undefined && !isOwn) {
        const why = await objectionTo(present, place, disks, MOMENT_MS, ctx)
        if (why !== undefined && !(how.takeOver && why.mayTakeOver)) throw elsewhere(vmId, present, why)
        const { host } = present.facts ?? {}
        const about = { vm: vmId, host, pool: pool.config.poolId, asked: how.takeOver }
        ctx.log.warn(about, 'taking a VM over from another host')
      } else if (isToLook(place, how)) {
        await refuseWritten(vmId, place, disks, this.#options.lingerMs ?? LINGER_MS, ctx)
      }
      const lease = isOwn ? await place.write(vmId, present, facts, ctx) : await place.take(vmId, present, facts, ctx)
      if (lease !== undefined) return isOwn ? undefined : lease
    }
    throw takenMeanwhile(vmId)
  }

  #followSafely(vmId: string): void {
    if (this.#pauses.isPausing(vmId)) return
    this.#follow(vmId).catch((error: unknown) => {
      this.#pauses.pause(vmId)
      this.#options.log.warn({ vm: vmId, err: errorText(error) }, 'the lease of a VM does not follow its state')
    })
  }

  async #follow(vmId: string): Promise<void> {
    const { inventory, locks, log } = this.#options
    // The QEMU of one that is on its way here waits, under a lock that is held all that time; its arrival is a change.
    const look = () => inventory.entriesHere().find(({ facts }) => facts.vmId === vmId)
    const before = look()
    // One that comes back, by a migration for example, is to be looked at anew.
    if (before === undefined) this.#held.delete(vmId)
    if (before === undefined || !this.#isDue(before)) {
      this.#pauses.forget(vmId)
      return
    }
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    await locks.run(vmLock(vmId), signal, async () => {
      const entry = look()
      if (entry === undefined || !this.#isDue(entry) || this.#pauses.isPausing(vmId)) return
      const ctx = { signal, log }
      this.#requireInUse(entry.facts)
      if (isOff(entry.state)) await this.#giveBack(entry.facts, ctx)
      else if (!(await this.#adopt(entry.facts, ctx))) return
      this.#pauses.forget(vmId)
    })
  }

  // A state that cannot be told says nothing about whose the VM is.
  #isDue({ facts, state }: DomainEntry): boolean {
    const held = this.#held.get(facts.vmId)
    return (held !== undefined && isOff(state)) || (held !== 'running' && hasQemu(state))
  }

  // It runs, whatever started it: a migration, an admin, an agent without leases. Where only one QEMU can have the disks open, and the other host sees that, its word is an old one. False: it is to be looked at again.
  async #adopt(vm: LeasedVm, ctx: OpContext): Promise<boolean> {
    const { vmId } = vm
    for (const { place, disks } of this.#poolsOf(vm)) {
      const present = await place.read(vmId, ctx)
      const isOwn = present !== undefined && this.#isOwn(present)
      if (isOwn && present.facts?.phase !== 'claimed') continue
      // Its guest is there, and only the rest of its memory is here.
      if (!isOwn && (await this.#isLeftBehind(vmId, ctx))) continue
      if (present !== undefined && !isOwn) {
        const { host, since, phase } = present.facts ?? {}
        // Saved memory that goes on there later is not what runs here: an admin has to say which of the two it is to be. Whose a watcher is, the cluster does not tell: a host that the guest has come from gives its lease back by itself.
        const isProved =
          phase !== 'saved' && place.refusesSecondWriter && (await place.blindSpot(disks, ctx)) === undefined
        if (!isProved) {
          const level = this.#pauses.pause(vmId) || place.refusesSecondWriter ? 'error' : 'info'
          ctx.log[level]({ vm: vmId, host, since }, 'a VM runs here, and another host says that it has it')
          return false
        }
        ctx.log.info({ vm: vmId, host, since }, 'a VM has come from another host')
      }
      const facts = this.#facts('running')
      const lease = isOwn ? await place.write(vmId, present, facts, ctx) : await place.take(vmId, present, facts, ctx)
      if (lease === undefined) throw takenMeanwhile(vmId)
    }
    this.#held.set(vmId, 'running')
    return true
  }

  async #isLeftBehind(vmId: string, { signal }: OpContext): Promise<boolean> {
    const options = { timeoutMs: READ_TIMEOUT_MS, signal }
    const args = { dom: domainRef(vmId), flags: 0 }
    const { state, reason } = await this.#options.libvirt.call('remote:DOMAIN_GET_STATE', args, options)
    return state === VIR_DOMAIN_STATE.PAUSED && isPostCopyBroken(state, reason)
  }

  async #giveBack(vm: LeasedVm, ctx: OpContext): Promise<void> {
    const pools = this.#poolsOf(vm)
    const saved = pools.length > 0 && (await hasSavedState(this.#options.libvirt, vm.vmId, ctx.signal))
    for (const { place } of pools) {
      const present = await place.read(vm.vmId, ctx)
      if (present === undefined || !this.#isOwn(present)) continue
      if (saved && present.facts?.phase === 'saved') continue
      if (saved) await place.write(vm.vmId, present, this.#facts('saved'), ctx)
      else await place.release(vm.vmId, present, ctx)
    }
    this.#held.delete(vm.vmId)
  }

  /** Gives the leases of a VM back that is off: because it goes, or its saved memory. Those of other hosts stay. */
  async forget(vm: LeasedVm, ctx: OpContext): Promise<void> {
    await this.leave(vm, ctx)
    this.#held.delete(vm.vmId)
  }

  /** Gives the leases back in the pools of these disks, where the VM has none any more; it may run, and its other leases follow it. Those of other hosts stay. */
  async leave(vm: LeasedVm, ctx: OpContext): Promise<void> {
    for (const { place } of this.#poolsOf(vm)) {
      const present = await place.read(vm.vmId, ctx)
      if (present !== undefined && this.#isOwn(present)) await place.release(vm.vmId, present, ctx)
    }
  }

  /**
   * Takes the leases of a VM that is off where nobody has them; those of other hosts stay with them, even if nothing is written to its disks: they may be about to start it.
   * Errors: POOL_UNAVAILABLE when one cannot be seen now, POOL_*, DEADLINE_EXCEEDED.
   */
  async keepFree(vm: LeasedVm, ctx: OpContext): Promise<void> {
    this.#requireInUse(vm)
    for (const { place } of this.#poolsOf(vm)) {
      const present = await place.read(vm.vmId, ctx)
      const facts = this.#facts(place.refusesSecondWriter ? 'running' : 'claimed')
      if (present === undefined) await place.take(vm.vmId, undefined, facts, ctx)
    }
  }

  /** Gives back the leases of a VM that is not on this host any more, so that no later look finds them. Errors: as `keepFree`. */
  async handOver(vm: LeasedVm, ctx: OpContext): Promise<void> {
    this.#requireInUse(vm)
    await this.forget(vm, ctx)
  }

  // One that is not known here any more is gone for good. `concerned`: pools that count.
  #requireInUse({ vmId, disks }: LeasedVm, concerned: (backend: PoolBackend) => boolean = () => true): void {
    const { pools, leases } = this.#options
    for (const { id, place, monitors } of disks) {
      if (place === '' || pools.findByPlace(place, monitors) !== undefined) continue
      const backend = pools.holderOf(place, monitors)
      if (
        backend === undefined ||
        !concerned(backend) ||
        !leases.hasPlace(backend) ||
        !this.#isShared({ config: backend.config, backend })
      )
        continue
      const { poolId } = backend.config
      const why =
        pools.findByPlace(place)?.config.poolId === poolId
          ? `the lease of VM ${vmId} is in pool ${poolId} or another one of that name in Ceph: no pool has one of the monitors of disk ${id} (${monitors?.join(', ')}); set its pool up with one of them`
          : `the lease of VM ${vmId} is in pool ${poolId}, which is not in use now`
      throw new AgentError('POOL_UNAVAILABLE', why)
    }
  }

  #isOwn({ facts }: GuestLease): boolean {
    return facts?.holder === this.#options.agentId
  }

  #facts(phase: GuestLeaseFacts['phase']): GuestLeaseFacts {
    const { agentId, host } = this.#options
    return {
      holder: agentId,
      host: host.slice(0, MAX_HOST_LENGTH),
      since: new Date().toISOString(),
      phase,
    }
  }

  /** Whether VMs with disks in a pool have a lease there. */
  isLeased(pool: ActivePool): boolean {
    return this.#placeIn(pool) !== undefined
  }

  #placeIn(pool: ActivePool): LeasePlace | undefined {
    return this.#isShared(pool) ? this.#options.leases.placeIn(pool) : undefined
  }

  #isShared(pool: ActivePool): boolean {
    const { isShared = ({ backend }) => backend.traits.shared } = this.#options
    return isShared(pool)
  }

  #poolsOf({ disks }: LeasedVm): LeasedPool[] {
    const found = new Map<string, LeasedPool>()
    for (const disk of disks) {
      const pool = disk.place === '' ? undefined : this.#options.pools.findByPlace(disk.place, disk.monitors)
      const place = pool === undefined ? undefined : this.#placeIn(pool)
      if (pool === undefined || place === undefined) continue
      const { poolId } = pool.config
      const entry = found.get(poolId) ?? { pool, place, disks: [] }
      entry.disks.push(disk)
      found.set(poolId, entry)
    }
    return [...found.values()]
  }
}

// Where a second writer is refused it need not be looked for, and where the VM runs it is its own.
function isToLook(place: LeasePlace, { runsHere }: ClaimHow): boolean {
  return !place.refusesSecondWriter && runsHere !== true
}

// The end of its QEMU proves nothing to other hosts while another one may follow.
function staysHere({ runsHere, mayEnd }: ClaimHow): boolean {
  return runsHere === true && mayEnd !== true
}

async function refuseWritten(
  vmId: string,
  place: LeasePlace,
  disks: readonly LeasedDisk[],
  patienceMs: number,
  ctx: OpContext,
): Promise<void> {
  const writer = await place.findWriter(disks, patienceMs, ctx)
  if (writer !== undefined) throw inUse(vmId, writer)
}

function takenMeanwhile(vmId: string): AgentError {
  return new AgentError('CONFLICT', `VM ${vmId}: other hosts take its lease at the same time; retry`)
}

function timed(log: Logger): OpContext {
  return { signal: AbortSignal.timeout(CALL_TIMEOUT_MS), log }
}
