import type { Logger, OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { abortable, type KeyedLock } from '../core/keyed-lock.ts'
import type { PowerState } from '../core/model.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { LibvirtGone, LibvirtTimeout } from '../libvirt/errors.ts'
import type { PoolOverlays } from '../storage/pool-overlays.ts'
import { isAioShortage, useThreadsForIo } from './aio-shortage.ts'
import type { DomainInventory } from './inventory.ts'
import { refuseUnderClones } from './linked-clones.ts'
import type { DomainFacts } from './domain-info.ts'
import { setAutostart } from './autostart-flag.ts'
import { dropSavedState, hasSavedState } from './saved-state.ts'
import type { ClaimHow, LeaseKeeper } from './vm-lease.ts'
import type { SplitKeeper } from './vm-split.ts'
import { domainRef, isOff, readPowerState } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'

/** libvirt may probe QEMU anew and wait for slow storage at a start. */
const START_TIMEOUT_MS = 180_000
const CALL_TIMEOUT_MS = 60_000
/** The memory of a large guest on a slow disk. */
const SAVE_TIMEOUT_MS = 60 * 60_000
const DESTROY_TIMEOUT_MS = 60_000
const RECONNECT_WAIT_MS = 10_000
const SETTLE_MS = 5_000
/** What a StopVM without a timeout means; control planes send 30. */
const DEFAULT_STOP_TIMEOUT_S = 30

/** Name of the lock that all changes of one VM take; operations on VMs use the same. */
export function vmLock(vmId: string): string {
  return `vm:${vmId}`
}

/** Power operations on domains, one at a time per VM. "Already so" is success; a call whose outcome is unknown is settled by reading the state again. */
export class DomainPower {
  readonly #client: LibvirtClient
  readonly #inventory: DomainInventory
  readonly #locks: KeyedLock
  readonly #log: Logger
  readonly #leases: Pick<LeaseKeeper, 'claim' | 'keepSaved' | 'forget'> | undefined
  readonly #overlays: Pick<PoolOverlays, 'ofOthers'> | undefined
  readonly #splits: Pick<SplitKeeper, 'refuse' | 'resolve'> | undefined

  /** `locks` are those of the OperationManager, so that a VM is not started while it is being deleted. */
  constructor(
    client: LibvirtClient,
    inventory: DomainInventory,
    locks: KeyedLock,
    log: Logger,
    leases?: Pick<LeaseKeeper, 'claim' | 'keepSaved' | 'forget'>,
    overlays?: Pick<PoolOverlays, 'ofOthers'>,
    splits?: Pick<SplitKeeper, 'refuse' | 'resolve'>,
  ) {
    this.#client = client
    this.#inventory = inventory
    this.#locks = locks
    this.#log = log.child({ component: 'power' })
    this.#leases = leases
    this.#overlays = overlays
    this.#splits = splits
  }

  /** Success when it runs. With `takeOver` also when another host says that it has the VM and nothing proves it, or when its guest was left there. VM_STATE_CONFLICT when it is paused or suspended, VM_RUNS_ELSEWHERE, MIGRATION_SPLIT. */
  async start(vmId: string, signal: AbortSignal, takeOver = false): Promise<void> {
    await this.#exclusive(vmId, signal, async () => {
      const state = await this.#state(vmId)
      // Whoever insists says that it is to go on here; what was left of its memory never does.
      const goesOnHere = takeOver && (isOff(state) || state === 'RUNNING')
      if (!goesOnHere) await this.#splits?.refuse(vmId, AbortSignal.timeout(CALL_TIMEOUT_MS))
      if (state === 'RUNNING') {
        if (goesOnHere) await this.#splits?.resolve(vmId)
        return
      }
      if (!isOff(state)) throw conflict(vmId, state, 'resume it instead of starting it')
      await this.#withFacts(vmId, (facts, ctx) => refuseUnderClones(facts, this.#inventory, this.#overlays, ctx))
      const claim = await this.#claim(vmId, { takeOver })
      try {
        if (goesOnHere) await this.#splits?.resolve(vmId)
        await this.#change(vmId, 'RUNNING', () => this.#create(vmId))
      } catch (error) {
        // With an unknown outcome it may run: the lease follows its state then.
        if (isAgentError(error, 'LIBVIRT_REFUSED')) await claim?.undo().catch(() => undefined)
        throw error
      }
    })
  }

  /** Asks the guest to shut down (guest agent, else the ACPI power button) and waits until it is off. VM_STOP_TIMEOUT leaves it running. */
  async stop(vmId: string, timeoutSeconds: number, signal: AbortSignal): Promise<void> {
    const timeoutMs = (timeoutSeconds > 0 ? timeoutSeconds : DEFAULT_STOP_TIMEOUT_S) * 1000
    const state = await this.#state(vmId)
    if (isOff(state)) return
    if (state !== 'RUNNING')
      throw conflict(vmId, state, 'a guest that does not run cannot shut itself down: resume it, or force it off')
    const deadline = AbortSignal.timeout(timeoutMs)
    const over = AbortSignal.any([signal, deadline])
    const off = this.#waitUntilOff(vmId, over)
    // It is awaited below; until then its failure must not count as unhandled.
    off.catch(() => undefined)
    try {
      // With a guest agent that hangs the call itself may take as long as the guest.
      await abortable(this.#askToShutDown(vmId), over).catch(async (error: unknown) => {
        // A guest that goes away under the call makes it fail; its end then follows at once.
        if (!isAgentError(error, 'LIBVIRT_REFUSED')) throw error
        await abortable(off, AbortSignal.timeout(SETTLE_MS)).catch(() => Promise.reject(error as Error))
      })
      await off
    } catch (error) {
      signal.throwIfAborted()
      if (!deadline.aborted) throw error
      if (isOff(await this.#state(vmId))) return
      throw new AgentError(
        'VM_STOP_TIMEOUT',
        `VM ${vmId}: the guest did not shut down within ${timeoutMs / 1000} s and is still running; force it off, or give it more time`,
      )
    }
  }

  /** Pulls the plug. Success when it is off. Does not wait for other operations on the VM: it is what frees a stuck one. */
  async forceStop(vmId: string, signal: AbortSignal): Promise<void> {
    if (isOff(await this.#state(vmId))) return
    const args = { dom: domainRef(vmId), flags: 0 }
    const work = this.#change(vmId, 'STOPPED', () =>
      this.#client.call('remote:DOMAIN_DESTROY_FLAGS', args, { timeoutMs: DESTROY_TIMEOUT_MS }),
    )
    await abortable(work, signal)
  }

  /** Keeps the memory of a guest in a file of libvirt and ends it; the next start goes on from there. Success when it is saved. VM_STATE_CONFLICT when it is off without. */
  async save(vmId: string, signal: AbortSignal): Promise<void> {
    await this.#exclusive(vmId, signal, async () => {
      const state = await this.#state(vmId)
      if (isOff(state)) {
        if (await hasSavedState(this.#client, vmId, AbortSignal.timeout(CALL_TIMEOUT_MS))) return
        throw conflict(vmId, state, 'only the state of a running VM can be saved')
      }
      await this.#splits?.refuse(vmId, AbortSignal.timeout(CALL_TIMEOUT_MS))
      if (state === 'SUSPENDED') throw conflict(vmId, state, 'resume it before its state is saved')
      await this.#withFacts(vmId, (facts, ctx) => this.#leases?.keepSaved(facts, ctx))
      const args = { dom: domainRef(vmId), flags: 0 }
      try {
        await this.#change(vmId, 'STOPPED', () =>
          this.#client.call('remote:DOMAIN_MANAGED_SAVE', args, { timeoutMs: SAVE_TIMEOUT_MS }),
        )
      } catch (error) {
        // It runs on, and its lease is to say so again.
        if (isAgentError(error, 'LIBVIRT_REFUSED'))
          await this.#claim(vmId, { takeOver: false, runsHere: true }).catch(() => undefined)
        throw error
      }
    })
  }

  /** Whether the next start goes on from a saved state. */
  async isSaved(vmId: string, signal: AbortSignal): Promise<boolean> {
    return hasSavedState(this.#client, vmId, signal)
  }

  /** Forgets the saved state: the next start boots. Success when there is none. */
  async dropSaved(vmId: string, signal: AbortSignal): Promise<void> {
    await this.#exclusive(vmId, signal, async () => {
      await dropSavedState(this.#client, vmId, AbortSignal.timeout(CALL_TIMEOUT_MS))
      // Also when there was none: its lease may have outlived it.
      if (!isOff(await this.#state(vmId))) return
      await this.#withFacts(vmId, (facts, ctx) => this.#leases?.forget(facts, ctx))
    })
  }

  /** Presses the reset button: the guest is not asked. VM_STATE_CONFLICT when it is off. Does not wait for other operations on the VM. */
  async reset(vmId: string, signal: AbortSignal): Promise<void> {
    const state = await this.#state(vmId)
    if (isOff(state)) throw conflict(vmId, state, 'start it instead')
    await this.#splits?.refuse(vmId, signal)
    const args = { dom: domainRef(vmId), flags: 0 }
    const work = this.#change(vmId, undefined, () =>
      this.#client.call('remote:DOMAIN_RESET', args, { timeoutMs: CALL_TIMEOUT_MS }),
    )
    await abortable(work, signal)
  }

  /** Says whether it is started after a boot of the host. VM_NOT_MANAGED for VMs of others. */
  async setAutostart(vmId: string, enabled: boolean, signal: AbortSignal): Promise<void> {
    await this.#exclusive(vmId, signal, () =>
      setAutostart(this.#client, vmId, enabled, AbortSignal.timeout(CALL_TIMEOUT_MS)),
    )
  }

  /** Asks the guest to restart. VM_STATE_CONFLICT unless it runs. */
  async reboot(vmId: string, signal: AbortSignal): Promise<void> {
    await this.#exclusive(vmId, signal, async () => {
      const state = await this.#state(vmId)
      if (state !== 'RUNNING') throw conflict(vmId, state, 'only a running VM can be rebooted')
      await this.#change(vmId, undefined, () =>
        this.#client.call('remote:DOMAIN_REBOOT', { dom: domainRef(vmId), flags: 0 }, { timeoutMs: CALL_TIMEOUT_MS }),
      )
    })
  }

  /** Stops the vCPUs; memory is kept. Success when it is paused. */
  async pause(vmId: string, signal: AbortSignal): Promise<void> {
    await this.#exclusive(vmId, signal, async () => {
      const state = await this.#state(vmId)
      if (state === 'PAUSED') return
      if (state !== 'RUNNING') throw conflict(vmId, state, 'only a running VM can be paused')
      await this.#change(vmId, 'PAUSED', () =>
        this.#client.call('remote:DOMAIN_SUSPEND', { dom: domainRef(vmId) }, { timeoutMs: CALL_TIMEOUT_MS }),
      )
    })
  }

  /** Lets a paused VM go on, or wakes a suspended guest up. Success when it runs. */
  async resume(vmId: string, signal: AbortSignal): Promise<void> {
    await this.#exclusive(vmId, signal, async () => {
      const state = await this.#state(vmId)
      if (state === 'RUNNING') return
      if (isOff(state)) throw conflict(vmId, state, 'start it instead of resuming it')
      await this.#splits?.refuse(vmId, AbortSignal.timeout(CALL_TIMEOUT_MS))
      const dom = domainRef(vmId)
      await this.#change(vmId, 'RUNNING', () =>
        state === 'SUSPENDED'
          ? this.#client.call('remote:DOMAIN_PM_WAKEUP', { dom, flags: 0 }, { timeoutMs: CALL_TIMEOUT_MS })
          : this.#client.call('remote:DOMAIN_RESUME', { dom }, { timeoutMs: CALL_TIMEOUT_MS }),
      )
    })
  }

  async #claim(vmId: string, how: ClaimHow) {
    return this.#withFacts(vmId, (facts, ctx) => this.#leases?.claim(facts, how, ctx))
  }

  async #withFacts<T>(vmId: string, work: (facts: DomainFacts, ctx: OpContext) => Promise<T> | undefined) {
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    const { facts } = await this.#inventory.entry(vmId, signal)
    return work(facts, { signal, log: this.#log })
  }

  // A caller that hangs up stops waiting; the lock is held until libvirt has answered.
  async #exclusive(vmId: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const release = await this.#locks.acquire(vmLock(vmId), signal)
    const running = work().finally(release)
    running.catch((error: unknown) => {
      if (signal.aborted)
        this.#log.warn({ vm: vmId, err: errorText(error) }, 'power operation failed after its caller had gone')
    })
    await abortable(running, signal)
  }

  async #state(vmId: string): Promise<PowerState> {
    return readPowerState(this.#client, vmId, new AbortController().signal)
  }

  /** Makes a call that leads to `target` (undefined: no state of its own) and settles what went wrong by what is now true. */
  async #change(vmId: string, target: PowerState | undefined, call: () => Promise<unknown>): Promise<void> {
    try {
      await call()
    } catch (error) {
      // Whatever libvirt said: when another one (the guest itself, a force-off) led to the same state meanwhile, that is what was wanted.
      const notSent = (error instanceof LibvirtGone || error instanceof LibvirtTimeout) && !error.outcomeUnknown
      if (target !== undefined && !notSent && (await this.#reached(vmId, target))) return
      throw vmError(error, vmId)
    }
  }

  /** A guest that is a little slower is better than one that does not start. */
  async #create(vmId: string): Promise<void> {
    const args = { dom: domainRef(vmId), flags: 0 }
    const create = () => this.#client.call('remote:DOMAIN_CREATE_WITH_FLAGS', args, { timeoutMs: START_TIMEOUT_MS })
    try {
      await create()
    } catch (error) {
      if (!isAioShortage(error)) throw error
      const warning =
        'the kernel has no contexts of native AIO left: the VM starts with threads for I/O from now on; raise fs.aio-max-nr'
      this.#log.warn({ vm: vmId, err: errorText(error) }, warning)
      await useThreadsForIo(vmId, this.#client, AbortSignal.timeout(CALL_TIMEOUT_MS))
      await create()
    }
  }

  async #reached(vmId: string, target: PowerState): Promise<boolean> {
    try {
      await this.#client.ready(AbortSignal.timeout(RECONNECT_WAIT_MS))
      const state = await this.#state(vmId)
      return state === target || (isOff(state) && isOff(target))
    } catch (error) {
      this.#log.debug({ vm: vmId, err: errorText(error) }, 'could not read the state after a call with unknown outcome')
      return false
    }
  }

  async #askToShutDown(vmId: string): Promise<void> {
    const args = { dom: domainRef(vmId), flags: 0 }
    await this.#change(vmId, 'STOPPED', () =>
      this.#client.call('remote:DOMAIN_SHUTDOWN_FLAGS', args, { timeoutMs: CALL_TIMEOUT_MS }),
    )
  }

  /** Resolves when the inventory learns that the VM is off or gone; rejects with the signal's reason. */
  async #waitUntilOff(vmId: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = () => {
      this.#inventory.entry(vmId, signal).then(
        ({ state }) => {
          if (isOff(state)) resolve()
        },
        (error: unknown) => {
          if (isAgentError(error, 'VM_NOT_FOUND')) resolve()
          // Without a connection the answer comes with the listing after the reconnect.
          else if (!isAgentError(error, 'LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN')) reject(error)
        },
      )
    }
    const stop = this.#inventory.onChange((changed) => {
      if (changed === vmId) look()
    })
    try {
      look()
      await abortable(promise, signal)
    } finally {
      stop()
    }
  }
}

function conflict(vmId: string, state: PowerState, remedy: string): AgentError {
  return new AgentError('VM_STATE_CONFLICT', `VM ${vmId} is ${state.toLowerCase()}: ${remedy}`, { details: { state } })
}
