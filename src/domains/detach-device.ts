import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { OperationHandler } from '../operations/operation.ts'
import type { RemovalParts } from './device-removal.ts'
import { pluggedDisk, pluggedNic, unplugDevice, type PluggedDevice } from './device-unplug.ts'
import type { DomainFacts } from './domain-info.ts'
import { readHalves } from './domain-halves.ts'
import { vmLock } from './power.ts'

interface DetachParams {
  readonly vmId: string
  /** As the caller named it. */
  readonly name: string
}

/** What differs between kinds of devices. */
interface DetachKind {
  /** Of the operation in the journal. */
  readonly kind: string
  readonly find: (facts: DomainFacts, name: string) => PluggedDevice | undefined
  readonly unknown: (vmId: string, name: string) => AgentError
}

/** Disks, by id, name in the domain, or volume. DISK_NOT_FOUND. */
export const DETACH_DISK: DetachKind = {
  kind: 'vm.detach-disk',
  find: ({ disks }, name) => {
    const disk =
      disks.find(({ id }) => id === name) ??
      disks.find(({ targetDev }) => targetDev === name) ??
      disks.find(({ volume }) => volume !== '' && volume === name)
    return disk === undefined ? undefined : pluggedDisk(disk)
  },
  unknown: (vmId, name) => new AgentError('DISK_NOT_FOUND', `VM ${vmId} has no disk ${quote(name)}`),
}

/** NICs, by id or MAC address. NIC_NOT_FOUND. */
export const DETACH_NIC: DetachKind = {
  kind: 'vm.detach-nic',
  find: ({ nics }, name) => {
    const nic = nics.find(({ id }) => id === name) ?? nics.find(({ macAddress }) => macAddress === name.toLowerCase())
    return nic === undefined ? undefined : pluggedNic(nic)
  },
  unknown: (vmId, name) => new AgentError('NIC_NOT_FOUND', `VM ${vmId} has no NIC ${quote(name)}`),
}

/** Takes devices of one kind out of VMs, as operations that go on after a restart. Registers its operation kind when constructed. */
export class DeviceDetacher {
  readonly #what: DetachKind
  readonly #parts: RemovalParts
  readonly #operations: OperationManager

  constructor(what: DetachKind, parts: RemovalParts, operations: OperationManager) {
    this.#what = what
    this.#parts = parts
    this.#operations = operations
    operations.register(this.#handler())
  }

  /**
   * Takes a device out of the running guest and its definition. Data stay. Success too when an earlier request has done it. Errors: VM_NOT_FOUND, VM_NOT_MANAGED, the kind's own when there is no
   * such device, DETACH_TIMEOUT, DETACH_REFUSED, LIBVIRT_*.
   */
  async detach(vmId: string, name: string, signal: AbortSignal): Promise<void> {
    // What can be said at once is said without an operation.
    const { config, live } = await readHalves(this.#parts.client, vmId, signal)
    const { kind, find, unknown } = this.#what
    const dedupeKey = `${kind}:${vmId}:${name}`
    const there = [config, live].some((half) => half !== undefined && find(half.facts, name) !== undefined)
    const earlier = this.#operations.list(kind).filter((record) => record.dedupeKey === dedupeKey)
    const isUnderWay = earlier.some(({ state }) => state === 'pending' || state === 'running')
    if (!there && !isUnderWay) {
      // An operation only ever began for a device that was there.
      if (earlier.length > 0) return
      throw unknown(vmId, name)
    }
    const record = await this.#operations.start<DetachParams>(
      kind,
      { vmId, name },
      { subject: `vm ${vmId}`, dedupeKey, locks: [vmLock(vmId)] },
    )
    await this.#operations.result(record.id, signal)
  }

  #handler(): OperationHandler<DetachParams, undefined, never> {
    return {
      kind: this.#what.kind,
      onRestart: 'resume',
      onShutdown: 'finish',
      run: async ({ vmId, name }, ctx) => {
        // After a restart libvirt may take longer than we do.
        await this.#parts.client.ready(ctx.signal)
        const { config, live } = await readHalves(this.#parts.client, vmId, ctx.signal)
        if (!config.facts.managed) {
          throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which takes nothing out of it`)
        }
        const { find } = this.#what
        const device = find(config.facts, name) ?? (live === undefined ? undefined : find(live.facts, name))
        if (device !== undefined && device.isLayered(config.facts)) {
          throw new AgentError(
            'CONFLICT',
            `VM ${vmId}: ${device.what} has snapshots in files of their own, which would lose it; delete them first`,
          )
        }
        if (device !== undefined) await unplugDevice(vmId, device, this.#parts, ctx)
      },
    }
  }
}
