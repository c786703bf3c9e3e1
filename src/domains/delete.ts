import type { LibvirtClient } from '../libvirt/client.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { OperationHandler, OperationRecord } from '../operations/operation.ts'
import type { SagaJournal } from '../operations/saga.ts'
import { cleanupHandler, isBeingCleanedUp, mayPass, startCleanup } from './cleanup.ts'
import { CREATE_KIND } from './create.ts'
import type { CreateParams, CreateState } from './create-steps.ts'
import type { DomainDeps } from './deps.ts'
import { parseDomain } from './domain-info.ts'
import { findDomain, readDomainXml } from './libvirt-domain.ts'
import { vmLock } from './power.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, type VolumeRef } from './vm-remains.ts'

/** Kind of the operation in the journal. */
export const DELETE_KIND = 'vm.delete'

interface DeleteParams {
  readonly vmId: string
}

/** Once written, the definition in libvirt is no longer needed to know what belongs to the VM. */
interface DeleteJournal {
  readonly volumes: readonly VolumeRef[]
}

/** What the deleter needs. */
export interface VmDeleterOptions {
  readonly deps: DomainDeps
  readonly client: Pick<LibvirtClient, 'call' | 'ready'>
  readonly operations: OperationManager
}

/** Deletes VMs as journaled operations that go on after a restart. Registers its operation kinds when constructed. */
export class VmDeleter {
  readonly #deps: DomainDeps
  readonly #client: VmDeleterOptions['client']
  readonly #operations: OperationManager

  constructor({ deps, client, operations }: VmDeleterOptions) {
    this.#deps = deps
    this.#client = client
    this.#operations = operations
    operations.register(this.#handler())
    operations.register(cleanupHandler(deps, client))
  }

  /**
   * Powers the VM off, removes its domain, then the volumes made for it, its seed and its log. Disks and images it merely used stay. Success when it is gone;
   * what an earlier, failed attempt left is removed as well, and disks on a pool that does not answer follow when it does. Errors: LIBVIRT_*, VOLUME_IN_USE and POOL_NOT_FOUND (the
   * domain is gone then; repeat it to delete the rest).
   */
  async delete(vmId: string, signal: AbortSignal): Promise<void> {
    if (isBeingCleanedUp(this.#operations, vmId)) return
    // Without libvirt nothing can be said; tell so at once rather than from an operation.
    await findDomain(this.#client, vmId, signal)
    const record = await this.#operations.start<DeleteParams>(
      DELETE_KIND,
      { vmId },
      { subject: `vm ${vmId}`, dedupeKey: `${DELETE_KIND}:${vmId}`, locks: [vmLock(vmId)] },
    )
    await this.#operations.result(record.id, signal)
  }

  #handler(): OperationHandler<DeleteParams, undefined, DeleteJournal> {
    return {
      kind: DELETE_KIND,
      onRestart: 'resume',
      onShutdown: 'finish',
      run: async ({ vmId }, ctx) => {
        // After a restart libvirt may take longer than we do.
        await this.#client.ready(ctx.signal)
        const dom = await findDomain(this.#client, vmId, ctx.signal)
        const xml = dom === undefined ? undefined : await readDomainXml(this.#client, dom, vmId, ctx.signal)
        const own = xml === undefined ? [] : ownedVolumes(xml)
        const volumes = distinct([...own, ...(ctx.journal?.volumes ?? []), ...this.#leftovers(vmId, ctx.id)])
        await ctx.save({ volumes })
        if (dom !== undefined) await removeDomain(this.#deps, dom, vmId, ctx.signal)
        await removeVmDirectory(this.#deps, vmId)
        try {
          await deleteOwnVolumes(this.#deps, volumes, vmId, ctx, true)
        } catch (error) {
          // Nobody will ask again for a VM that is gone: the disks follow when their pool answers.
          if (!mayPass(error)) throw error
          await startCleanup(this.#operations, vmId, volumes)
        }
      },
    }
  }

  // Storage deletes a volume only when its owner is this VM, so naming too many does no harm.
  #leftovers(vmId: string, ownId: string): VolumeRef[] {
    const failed = (record: OperationRecord) => record.id !== ownId && record.state !== 'completed'
    const deletes = this.#operations.list(DELETE_KIND).filter(failed) as OperationRecord<
      DeleteParams,
      unknown,
      DeleteJournal
    >[]
    const creates = this.#operations.list(CREATE_KIND).filter(failed) as OperationRecord<
      CreateParams,
      unknown,
      SagaJournal<CreateState>
    >[]
    return [
      ...deletes.filter(({ params }) => params.vmId === vmId).flatMap(({ journal }) => journal?.volumes ?? []),
      ...creates
        .filter(({ params }) => params.request.vmId === vmId)
        .flatMap(({ journal }) => journal?.state.volumes ?? []),
    ]
  }
}

function ownedVolumes(xml: string): VolumeRef[] {
  return parseDomain(xml)
    .disks.filter((disk) => disk.owned && disk.poolId !== '' && disk.volume !== '')
    .map((disk) => ({ poolId: disk.poolId, name: disk.volume }))
}

function distinct(volumes: readonly VolumeRef[]): VolumeRef[] {
  return [...new Map(volumes.map((volume) => [`${volume.poolId}\n${volume.name}`, volume])).values()]
}
