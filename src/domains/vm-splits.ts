import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import type { StateCollection } from '../platform/state-store.ts'
import type { DomainInventory } from './inventory.ts'
import { findDomain, type LibvirtCalls } from './libvirt-domain.ts'
import { vmLock } from './power.ts'
import { stillSplit, type SplitKeeper, type SplitMark } from './vm-split.ts'

export interface VmSplitsOptions {
  readonly store: StateCollection<SplitMark>
  readonly libvirt: LibvirtCalls
  readonly log: Logger
}

/** What marks are followed with. */
export interface SplitSurroundings {
  readonly inventory: Pick<DomainInventory, 'onChange' | 'listedOnce'>
  /** Those of the OperationManager: a VM of that id may be about to come. */
  readonly locks: KeyedLock
}

const SETTLE_TIMEOUT_MS = 60_000

/**
 * Marks on VMs of this host whose post-copy migration broke off: their guest is at another host, on the same disks. libvirt knows that as long as the QEMU lives that was left here; the marks outlive it, and a boot of the host. libvirt takes no change of
 * a domain in that state, so that they are in the agent's own state and not in the metadata. One ends with the domain that it is on, or when an admin says that the VM is to go on here.
 */
export class VmSplits implements SplitKeeper {
  readonly #options: VmSplitsOptions
  #marks: Promise<Map<string, SplitMark>> | undefined
  #stop: (() => void) | undefined

  constructor(options: VmSplitsOptions) {
    this.#options = options
  }

  /** From now on a mark goes as soon as its domain is gone; otherwise it is found out when somebody asks. */
  start({ inventory, locks }: SplitSurroundings): void {
    const { log } = this.#options
    const follow = async (vmId: string) => {
      try {
        if (!(await this.#load()).has(vmId)) return
        const signal = AbortSignal.timeout(SETTLE_TIMEOUT_MS)
        await locks.run(vmLock(vmId), signal, () => this.settle(vmId, signal))
      } catch (error) {
        log.warn({ vm: vmId, err: errorText(error) }, 'cannot tell yet whether a VM that was split is gone')
      }
    }
    this.#stop = inventory.onChange((vmId) => void follow(vmId))
    inventory
      .listedOnce(AbortSignal.timeout(2 ** 31 - 1))
      .then(async () => {
        for (const vmId of (await this.#load()).keys()) await follow(vmId)
      })
      .catch((error: unknown) => log.error({ err: errorText(error) }, 'the marks of VMs that were split are not read'))
  }

  stop(): void {
    this.#stop?.()
  }

  /** Marks a VM; the same again is success. Error: STATE_NOT_WRITABLE. */
  async mark(vmId: string, mark: SplitMark): Promise<void> {
    const marks = await this.#load()
    if (marks.has(vmId)) return
    await this.#options.store.put(vmId, mark)
    marks.set(vmId, mark)
  }

  /** MIGRATION_SPLIT when the VM is marked. Errors: LIBVIRT_*, STATE_NOT_WRITABLE. */
  async refuse(vmId: string, signal: AbortSignal): Promise<void> {
    const mark = await this.settle(vmId, signal)
    if (mark !== undefined) throw stillSplit(vmId, mark)
  }

  /** The mark of a VM, which ends here when its domain is gone. Errors as `refuse`, but MIGRATION_SPLIT. */
  async settle(vmId: string, signal: AbortSignal): Promise<SplitMark | undefined> {
    const marks = await this.#load()
    const mark = marks.get(vmId)
    if (mark === undefined) return undefined
    if ((await findDomain(this.#options.libvirt, vmId, signal)) !== undefined) return mark
    // Not one that was made meanwhile: not everybody who asks holds the lock of the VM.
    if (marks.get(vmId) === mark) await this.resolve(vmId)
    return undefined
  }

  /** Takes the mark off. Success when there is none. Error: STATE_NOT_WRITABLE. */
  async resolve(vmId: string): Promise<void> {
    const marks = await this.#load()
    const mark = marks.get(vmId)
    if (mark === undefined) return
    await this.#options.store.delete(vmId)
    marks.delete(vmId)
    this.#options.log.info({ vm: vmId, target: mark.target }, 'a VM is split no more')
  }

  #load(): Promise<Map<string, SplitMark>> {
    return (this.#marks ??= this.#options.store.entries().then(
      (entries) => new Map(entries),
      (error: unknown) => {
        this.#marks = undefined
        throw error
      },
    ))
  }
}
