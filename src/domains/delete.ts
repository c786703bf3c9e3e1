import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_STATE } from '../libvirt/constants.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { OperationHandler, OperationRecord } from '../operations/operation.ts'
import type { SagaJournal } from '../operations/saga.ts'
import { cleanupHandler, isBeingCleanedUp, mayPass, startCleanup } from './cleanup.ts'
import { CREATE_KIND } from './create.ts'
import type { CreateParams, CreateState } from './create-steps.ts'
import type { DomainDeps } from './deps.ts'
import { parseDomain } from './domain-info.ts'
import { domainRef, findDomain, isPostCopyBroken, readDomainXml, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { vmLock } from './power.ts'
import type { LeasedVm } from './vm-lease.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, type VolumeRef } from './vm-remains.ts'

/** Kind of the operation in the journal. */
export const DELETE_KIND = 'vm.delete'

/** A pool that does not answer must not keep a VM from being deleted. */
const FORGET_TIMEOUT_MS = 5_000
const STATE_TIMEOUT_MS = 15_000

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
        if (dom !== undefined) {
          await this.#deps.splits?.refuse(vmId, ctx.signal)
          await refuseSplit(vmId, this.#client, ctx.signal)
        }
        const xml = dom === undefined ? undefined : await readDomainXml(this.#client, dom, vmId, ctx.signal)
        const facts = xml === undefined ? undefined : parseDomain(xml)
        const own = xml === undefined ? [] : ownedVolumes(xml)
        const volumes = distinct([...own, ...(ctx.journal?.volumes ?? []), ...this.#leftovers(vmId, ctx.id)])
        await ctx.save({ volumes })
        if (dom !== undefined) await removeDomain(this.#deps, dom, vmId, ctx.signal)
        if (facts !== undefined) await this.#forget(facts, ctx)
        await removeVmDirectory(this.#deps, vmId)
        try {
          await deleteOwnVolumes(this.#deps, volumes, vmId, ctx, 'others')
        } catch (error) {
          // Nobody will ask again for a VM that is gone: the disks follow when their pool answers.
          if (!mayPass(error)) throw error
          await startCleanup(this.#operations, vmId, volumes)
        }
      },
    }
  }

  // One that stays behind says that a host without the VM has it: nobody writes to its disks, so nobody minds.
  async #forget(facts: LeasedVm, ctx: OpContext): Promise<void> {
    const brief = { ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(FORGET_TIMEOUT_MS)]) }
    await this.#deps.leases?.forget(facts, brief).catch((error: unknown) => {
      ctx.log.warn({ vm: facts.vmId, err: errorText(error) }, 'the lease of a deleted VM remains')
    })
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

// What of it is here may be all there is of its memory, and its disks are in use at another host. libvirt says so of those too that no agent has marked.
async function refuseSplit(vmId: string, client: LibvirtCalls, signal: AbortSignal): Promise<void> {
  const options = { timeoutMs: STATE_TIMEOUT_MS, signal }
  const { state, reason } = await client
    .call('remote:DOMAIN_GET_STATE', { dom: domainRef(vmId), flags: 0 }, options)
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  if (state !== VIR_DOMAIN_STATE.PAUSED || !isPostCopyBroken(state, reason)) return
  throw new AgentError(
    'MIGRATION_SPLIT',
    `VM ${vmId} is not deleted: its migration broke off, its guest is at the other host, and the rest of its memory is here (docs/vms.md, Migration)`,
  )
}

// What stands on another file goes before it.
function ownedVolumes(xml: string): VolumeRef[] {
  const { disks, layers } = parseDomain(xml)
  return [...layers.toReversed(), ...disks]
    .filter(({ owned, poolId, volume }) => owned && poolId !== '' && volume !== '')
    .map(({ poolId, volume }) => ({ poolId, name: volume }))
}

function distinct(volumes: readonly VolumeRef[]): VolumeRef[] {
  return [...new Map(volumes.map((volume) => [`${volume.poolId}\n${volume.name}`, volume])).values()]
}
