import type { OpContext } from '../core/context.ts'
import { formatBytes } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { VolumeManager } from '../storage/volume-manager.ts'
import { checkVolumeSize } from '../storage/volume-spec.ts'
import { recordDiskSize } from './disk-size-record.ts'
import type { DomainDisk } from './domain-info.ts'
import type { DomainInventory } from './inventory.ts'
import { domainRef, isOff, readPowerState, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { vmOwner } from './names.ts'
import { vmLock } from './power.ts'
import type { SplitKeeper } from './vm-split.ts'

/** A disk of a VM that the agent made. */
export interface VmDiskRef {
  readonly vmId: string
  readonly disk: DomainDisk
}

export interface DiskResizerParts {
  readonly libvirt: LibvirtCalls
  readonly inventory: DomainInventory
  readonly pools: PoolAccess
  readonly volumes: VolumeManager
  /** Those of the OperationManager, so that a VM is not started or deleted meanwhile. */
  readonly locks: KeyedLock
  readonly splits?: Pick<SplitKeeper, 'refuse'>
}

const READ_TIMEOUT_MS = 15_000
const RESIZE_TIMEOUT_MS = 120_000
/** virDomainBlockResizeFlags: the size is in bytes. */
const IN_BYTES = 1

/** Grows disks of VMs: of a running one through libvirt, so that the guest sees it, else the volume itself. */
export class DiskResizer {
  readonly #parts: DiskResizerParts

  constructor(parts: DiskResizerParts) {
    this.#parts = parts
  }

  /**
   * The disk of one of our VMs that is volume `id` of `poolId`; without a pool, the one whose id or volume it is. DISK_AMBIGUOUS when several VMs have it, LIBVIRT_UNAVAILABLE
   * when it cannot be told.
   */
  find(poolId: string | undefined, id: string): VmDiskRef | undefined {
    const found = this.#parts.inventory
      .entries()
      .filter(({ facts }) => facts.managed)
      .flatMap(({ facts }) => facts.disks.map((disk) => ({ vmId: facts.vmId, name: facts.name, disk })))
      .filter(({ disk }) =>
        poolId === undefined ? disk.id === id || disk.volume === id : disk.poolId === poolId && disk.volume === id,
      )
    if (found.length > 1) {
      const names = found.map(({ name, vmId }) => `VM ${name} (${vmId})`).join(', ')
      throw new AgentError(
        'DISK_AMBIGUOUS',
        `${names} have a disk ${quote(id)}; name the pool and the volume of the disk`,
      )
    }
    return found[0]
  }

  /** The disk of a VM with an id or name in the domain. VM_NOT_FOUND, VM_NOT_MANAGED, DISK_NOT_FOUND, LIBVIRT_*. */
  async findOn(vmId: string, name: string, signal: AbortSignal): Promise<VmDiskRef> {
    const { facts } = await this.#parts.inventory.entry(vmId, signal)
    if (!facts.managed) {
      throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which does not grow its disks`)
    }
    const disk = facts.disks.find(({ id }) => id === name) ?? facts.disks.find(({ targetDev }) => targetDev === name)
    if (disk === undefined) throw new AgentError('DISK_NOT_FOUND', `VM ${vmId} has no disk ${quote(name)}`)
    return { vmId, disk }
  }

  /** Makes a disk `sizeBytes` large; the same again is success. VOLUME_TOO_SMALL instead of shrinking, VM_NOT_FOUND, MIGRATION_SPLIT, LIBVIRT_*, those of VolumeManager.resize. */
  async resize({ vmId, disk }: VmDiskRef, sizeBytes: number, ctx: OpContext): Promise<void> {
    checkVolumeSize(sizeBytes)
    const { libvirt, locks, inventory, splits } = this.#parts
    await locks.run(vmLock(vmId), ctx.signal, async () => {
      await splits?.refuse(vmId, ctx.signal)
      const running = !isOff(await readPowerState(libvirt, vmId, ctx.signal))
      if (running) await this.#resizeRunning(vmId, disk, sizeBytes, ctx)
      else await this.#resizeVolume(vmId, disk, sizeBytes, ctx)
      await recordDiskSize(libvirt, { vmId, target: disk.targetDev, sizeBytes, running }, ctx.signal)
      await inventory.settle(vmId)
    })
  }

  async #resizeRunning(vmId: string, disk: DomainDisk, sizeBytes: number, ctx: OpContext): Promise<void> {
    const { libvirt, pools } = this.#parts
    const { targetDev } = disk
    try {
      const { capacity } = await libvirt.call(
        'remote:DOMAIN_GET_BLOCK_INFO',
        { dom: domainRef(vmId), path: targetDev, flags: 0 },
        { timeoutMs: READ_TIMEOUT_MS, signal: ctx.signal },
      )
      const present = Number(capacity)
      if (sizeBytes === present) return
      if (sizeBytes < present) {
        throw new AgentError(
          'VOLUME_TOO_SMALL',
          `disk ${disk.id} has ${formatBytes(present)} and is not shrunk to ${formatBytes(sizeBytes)}`,
        )
      }
      // QEMU grows files and Ceph images itself; of a device it can only use what is there.
      const pool = disk.poolId === '' ? undefined : await pools.require(disk.poolId, ctx)
      if (pool?.backend.traits.access === 'block') await this.#resizeVolume(vmId, disk, sizeBytes, ctx)
      await libvirt.call(
        'remote:DOMAIN_BLOCK_RESIZE',
        { dom: domainRef(vmId), disk: targetDev, size: BigInt(sizeBytes), flags: IN_BYTES },
        { timeoutMs: RESIZE_TIMEOUT_MS },
      )
    } catch (error) {
      throw vmError(error, vmId)
    }
  }

  async #resizeVolume(vmId: string, disk: DomainDisk, sizeBytes: number, ctx: OpContext): Promise<void> {
    const { volumes } = this.#parts
    if (disk.volume !== '') await volumes.resize(disk.poolId, disk.volume, sizeBytes, ctx, vmOwner(vmId))
    else {
      throw new AgentError(
        'VOLUME_NOT_FOUND',
        `disk ${disk.id} of VM ${vmId} (${disk.path}) is no volume of a pool, so it grows only while the VM runs; start the VM first`,
      )
    }
  }
}
