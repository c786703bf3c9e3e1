import type { Logger, OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import { VIR_DOMAIN_STATE } from '../libvirt/constants.ts'
import { readMounts } from '../platform/mounts.ts'
import type { GuestLeases } from '../storage/guest-leases.ts'
import type { ActivePool, PoolAccess } from '../storage/pool-access.ts'
import type { GuestLease, GuestLeaseFacts } from '../storage/worker/guest-leases.ts'
import { firstWritten, locksReachOthers } from './disk-writers.ts'
import type { PowerState } from '../core/model.ts'
import type { DomainEntry } from './domain-entry.ts'
import type { DomainInventory } from './inventory.ts'
import { domainRef, isOff, isPostCopyBroken, type LibvirtCalls } from './libvirt-domain.ts'
import { hasSavedState } from './saved-state.ts'
import { vmLock } from './power.ts'
import type { LeasedDisk, LeasedVm, LeaseKeeper } from './vm-lease.ts'

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
}

const CALL_TIMEOUT_MS = 60_000
const READ_TIMEOUT_MS = 15_000
const MAX_RACES = 5
const RETRY_MS = 30_000
/** States in which a QEMU of this host has the disks open. */
const HAS_QEMU: ReadonlySet<PowerState> = new Set(['RUNNING', 'PAUSED', 'SUSPENDED'])
/** The rest of a lease fits into its file. */
const MAX_HOST_LENGTH = 64

/**
 * Leases on VMs with disks in files of pools that several hosts have: who runs one holds its lease in each of these pools, and nobody else starts it. A lease has no time: the silence of an agent says nothing about its
 * guests. What ends one is its holder, or the proof by QEMU's own locks that nobody writes to the disks, or that the guest itself is here now; where these do not reach other hosts, an admin who says so.
 */
export class VmLeases implements LeaseKeeper {
  readonly #options: VmLeasesOptions
  /** VMs whose leases this agent has looked at in their present run. */
  readonly #held = new Set<string>()
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
        for (const { facts, state } of inventory.entries()) {
          // What an earlier run of the agent has taken.
          if (isOff(state)) this.#held.add(facts.vmId)
          this.#followSafely(facts.vmId)
        }
      })
      .catch(() => undefined)
  }

  stop(): void {
    this.#stop?.()
  }

  /**
   * Takes the leases of a VM that is about to run here; `undo` of the answer gives back those that were not there before. Errors: VM_RUNS_ELSEWHERE naming host and time, POOL_*, DEADLINE_EXCEEDED.
   */
  async claim(vm: LeasedVm, how: { readonly takeOver: boolean }, ctx: OpContext): Promise<{ undo(): Promise<void> }> {
    const taken: { pool: ActivePool; token: number }[] = []
    // One that runs has others, which follow it as before.
    const wasHeld = this.#held.has(vm.vmId)
    const undo = async () => {
      if (!wasHeld) this.#held.delete(vm.vmId)
      for (const { pool, token } of taken) await this.#options.leases.release(pool, vm.vmId, token, timed(ctx.log))
    }
    try {
      for (const [pool, disks] of this.#poolsOf(vm)) {
        const token = await this.#claimIn(pool, vm.vmId, disks, how.takeOver, ctx)
        if (token !== undefined) taken.push({ pool, token })
      }
    } catch (error) {
      await undo().catch((failure: unknown) => {
        ctx.log.warn({ vm: vm.vmId, err: errorText(failure) }, 'a lease could not be given back')
      })
      throw error
    }
    this.#held.add(vm.vmId)
    return { undo }
  }

  /** Says that the memory of a VM is about to be saved, before it is: from then on free locks prove nothing. */
  async keepSaved(vm: LeasedVm, ctx: OpContext): Promise<void> {
    const { leases } = this.#options
    for (const [pool] of this.#poolsOf(vm)) {
      const present = await leases.read(pool, vm.vmId, ctx)
      if (present === undefined) await leases.take(pool, vm.vmId, 0, this.#facts('saved'), ctx)
      else if (this.#isOwn(present)) await leases.write(pool, vm.vmId, present.token, this.#facts('saved'), ctx)
    }
  }

  /** VM_RUNS_ELSEWHERE when another host has the VM, before a disk of it is deleted. Errors as `claim`. */
  async refuseElsewhere(vmId: string, pool: ActivePool, disk: LeasedDisk, ctx: OpContext): Promise<void> {
    const present = await this.#options.leases.read(pool, vmId, ctx)
    if (present === undefined || this.#isOwn(present)) return
    const why = await this.#objection(present, [disk], ctx)
    if (why !== undefined) throw elsewhere(vmId, present.facts, why)
  }

  // The token when the lease was taken just now, undefined when this host had it.
  async #claimIn(
    pool: ActivePool,
    vmId: string,
    disks: readonly LeasedDisk[],
    takeOver: boolean,
    ctx: OpContext,
  ): Promise<number | undefined> {
    const { leases } = this.#options
    for (let race = 0; race < MAX_RACES; race++) {
      const present = await leases.read(pool, vmId, ctx)
      if (present !== undefined && this.#isOwn(present)) {
        if (await leases.write(pool, vmId, present.token, this.#facts('running'), ctx)) return undefined
        continue
      }
      if (present !== undefined) {
        const why = await this.#objection(present, disks, ctx)
        if (why !== undefined && !(takeOver && why.mayTakeOver)) throw elsewhere(vmId, present.facts, why)
        const host = present.facts?.host
        ctx.log.warn(
          { vm: vmId, host, pool: pool.config.poolId, asked: takeOver },
          'taking a VM over from another host',
        )
      }
      const after = present?.token ?? 0
      if (await leases.take(pool, vmId, after, this.#facts('running'), ctx)) return after + 1
    }
    throw new AgentError('CONFLICT', `VM ${vmId}: other hosts take its lease at the same time; retry`)
  }

  // Why the VM of another host's lease must not run here; undefined when it is proved that it may.
  async #objection(lease: GuestLease, disks: readonly LeasedDisk[], ctx: OpContext): Promise<Objection | undefined> {
    const mounts = await readMounts()
    const visible = disks.every(({ place }) => locksReachOthers(place, mounts))
    const written = await firstWritten(disks, ctx)
    if (written !== undefined) return { text: `its disk ${written} is being written to`, mayTakeOver: false }
    if (lease.facts?.phase === 'saved')
      return { text: 'its memory is saved there, and would be of no use with changed disks', mayTakeOver: true }
    if (!visible) return { text: 'locks on its disks are not seen across hosts (NFS without locks)', mayTakeOver: true }
    return undefined
  }

  #followSafely(vmId: string): void {
    this.#follow(vmId).catch((error: unknown) => {
      this.#options.log.warn({ vm: vmId, err: errorText(error) }, 'the lease of a VM does not follow its state')
    })
  }

  async #follow(vmId: string): Promise<void> {
    const { inventory, locks, log } = this.#options
    const look = () => inventory.entries().find(({ facts }) => facts.vmId === vmId)
    const before = look()
    // One that comes back, by a migration for example, is to be looked at anew.
    if (before === undefined) this.#held.delete(vmId)
    if (before === undefined || !this.#isDue(before)) return
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    await locks.run(vmLock(vmId), signal, async () => {
      const entry = look()
      if (entry === undefined || !this.#isDue(entry)) return
      const ctx = { signal, log }
      if (isOff(entry.state)) await this.#giveBack(entry.facts, ctx)
      else await this.#adopt(entry.facts, ctx)
    })
  }

  // A state that cannot be told says nothing about whose the VM is.
  #isDue({ facts, state }: DomainEntry): boolean {
    const held = this.#held.has(facts.vmId)
    return held ? isOff(state) : HAS_QEMU.has(state)
  }

  // It runs, whatever started it: a migration, an admin, an agent without leases. A QEMU that has the disks open keeps all others out, so that the word of another host is an old one, where its locks are seen there.
  async #adopt(vm: LeasedVm, ctx: OpContext): Promise<void> {
    const { leases } = this.#options
    const mounts = await readMounts()
    for (const [pool, disks] of this.#poolsOf(vm)) {
      const present = await leases.read(pool, vm.vmId, ctx)
      if (present !== undefined && this.#isOwn(present)) continue
      const { host, since, phase } = present?.facts ?? {}
      // Saved memory that goes on there later is not what runs here: an admin has to say which of the two it is to be.
      const unproved = phase === 'saved' || !disks.every(({ place }) => locksReachOthers(place, mounts))
      if (present !== undefined && unproved) {
        ctx.log.error({ vm: vm.vmId, host, since }, 'a VM runs here, and another host says that it has it')
        setTimeout(() => this.#followSafely(vm.vmId), RETRY_MS).unref()
        return
      }
      // Its guest is there, and only the rest of its memory is here.
      if (present !== undefined && (await this.#isLeftBehind(vm.vmId, ctx))) continue
      if (present !== undefined) ctx.log.info({ vm: vm.vmId, host, since }, 'a VM has come from another host')
      await leases.take(pool, vm.vmId, present?.token ?? 0, this.#facts('running'), ctx)
    }
    this.#held.add(vm.vmId)
  }

  async #isLeftBehind(vmId: string, { signal }: OpContext): Promise<boolean> {
    const options = { timeoutMs: READ_TIMEOUT_MS, signal }
    const args = { dom: domainRef(vmId), flags: 0 }
    const { state, reason } = await this.#options.libvirt.call('remote:DOMAIN_GET_STATE', args, options)
    return state === VIR_DOMAIN_STATE.PAUSED && isPostCopyBroken(state, reason)
  }

  async #giveBack(vm: LeasedVm, ctx: OpContext): Promise<void> {
    const { leases, libvirt } = this.#options
    this.#held.delete(vm.vmId)
    const pools = this.#poolsOf(vm)
    if (pools.size === 0) return
    const saved = await hasSavedState(libvirt, vm.vmId, ctx.signal)
    for (const [pool] of pools) {
      const present = await leases.read(pool, vm.vmId, ctx)
      if (present === undefined || !this.#isOwn(present)) continue
      if (saved) await leases.write(pool, vm.vmId, present.token, this.#facts('saved'), ctx)
      else await leases.release(pool, vm.vmId, present.token, ctx)
    }
  }

  /** Gives the leases of a VM back that is off: because it goes, or its saved memory. Those of other hosts stay. */
  async forget(vm: LeasedVm, ctx: OpContext): Promise<void> {
    this.#held.delete(vm.vmId)
    await this.leave(vm, ctx)
  }

  /** Gives the leases back in the pools of these disks, where the VM has none any more; it may run, and its other leases follow it. Those of other hosts stay. */
  async leave(vm: LeasedVm, ctx: OpContext): Promise<void> {
    for (const [pool] of this.#poolsOf(vm)) {
      const present = await this.#options.leases.read(pool, vm.vmId, ctx)
      if (present !== undefined && this.#isOwn(present))
        await this.#options.leases.release(pool, vm.vmId, present.token, ctx)
    }
  }

  /**
   * Takes the leases of a VM that is off where nobody has them; those of other hosts stay with them, even if nothing is written to its disks: they may be about to start it.
   * Errors: POOL_UNAVAILABLE when one cannot be seen now, POOL_*, DEADLINE_EXCEEDED.
   */
  async keepFree(vm: LeasedVm, ctx: OpContext): Promise<void> {
    this.#requireInUse(vm)
    for (const [pool] of this.#poolsOf(vm)) {
      const present = await this.#options.leases.read(pool, vm.vmId, ctx)
      if (present === undefined) await this.#options.leases.take(pool, vm.vmId, 0, this.#facts('running'), ctx)
    }
  }

  /** Gives back the leases of a VM that is not on this host any more, so that no later look finds them. Errors: as `keepFree`. */
  async handOver(vm: LeasedVm, ctx: OpContext): Promise<void> {
    this.#requireInUse(vm)
    await this.forget(vm, ctx)
  }

  // One that is not known here any more is gone for good.
  #requireInUse({ vmId, disks }: LeasedVm): void {
    const { pools } = this.#options
    for (const { place } of disks) {
      const backend = place === '' || pools.findByPlace(place) !== undefined ? undefined : pools.holderOf(place)
      if (backend === undefined || backend.mountPath === '' || !this.#isShared({ config: backend.config, backend }))
        continue
      const { poolId } = backend.config
      throw new AgentError('POOL_UNAVAILABLE', `the lease of VM ${vmId} is in pool ${poolId}, which is not in use now`)
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

  /** Whether VMs with disks in a pool have a lease there. Leases are files: pools of devices have an owner of their own (docs/storage.md). */
  isLeased(pool: ActivePool): boolean {
    return pool.guard !== undefined && this.#isShared(pool)
  }

  #isShared(pool: ActivePool): boolean {
    const { isShared = ({ backend }) => backend.traits.shared } = this.#options
    return isShared(pool)
  }

  #poolsOf({ disks }: LeasedVm): ReadonlyMap<ActivePool, readonly LeasedDisk[]> {
    const { pools } = this.#options
    const found = new Map<string, { pool: ActivePool; disks: LeasedDisk[] }>()
    for (const disk of disks) {
      const pool = disk.place === '' ? undefined : pools.findByPlace(disk.place)
      if (pool === undefined || !this.isLeased(pool)) continue
      const { poolId } = pool.config
      const entry = found.get(poolId) ?? { pool, disks: [] }
      entry.disks.push(disk)
      found.set(poolId, entry)
    }
    return new Map([...found.values()].map((entry) => [entry.pool, entry.disks]))
  }
}

interface Objection {
  readonly text: string
  /** An admin who knows better may overrule it. */
  readonly mayTakeOver: boolean
}

function timed(log: Logger): OpContext {
  return { signal: AbortSignal.timeout(CALL_TIMEOUT_MS), log }
}

function elsewhere(vmId: string, lease: GuestLeaseFacts | undefined, { text, mayTakeOver }: Objection): AgentError {
  const who = lease === undefined ? 'another host' : `host ${lease.host} (agent ${lease.holder}), since ${lease.since}`
  const remedy = mayTakeOver
    ? 'make sure that it is off there and start it with takeOver'
    : 'stop it there, or migrate it here'
  const details = lease === undefined ? {} : { host: lease.host, agentId: lease.holder, since: lease.since }
  return new AgentError('VM_RUNS_ELSEWHERE', `VM ${vmId} is held by ${who}: ${text}; ${remedy}`, { details })
}
