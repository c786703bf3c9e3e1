import type { OpContext } from '../core/context.ts'
import { errorText, toAgentError } from '../core/errors.ts'
import type { Reason } from '../core/reasons.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationHandler } from '../operations/operation.ts'
import { delay } from '../platform/clock.ts'
import type { DomainDeps } from './deps.ts'
import { removeKept } from './kept-by-libvirt.ts'
import { findDomain } from './libvirt-domain.ts'
import { vmLock } from './power.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, type VolumeRef } from './vm-remains.ts'

/** Kind of the operation in the journal. */
export const CLEANUP_KIND = 'vm.cleanup'

interface CleanupParams {
  readonly vmId: string
  readonly volumes: readonly VolumeRef[]
  /** A keptDefinition of what libvirt may have left of it. */
  readonly kept?: string
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/** How it looks when the storage of a pool is not mounted at the moment. */
const LOST_STORAGE: ReadonlySet<Reason> = new Set(['POOL_PATH_MISSING', 'POOL_IDENTITY_MISMATCH', 'POOL_NOT_WRITABLE'])

/** Leaves the rest of an undo or a delete to an operation that waits for libvirt and the pools as long as it takes, over restarts of the agent too. */
export async function startCleanup(
  operations: OperationManager,
  vmId: string,
  volumes: readonly VolumeRef[],
  kept?: string,
): Promise<void> {
  const params: CleanupParams = { vmId, volumes, ...(kept === undefined ? {} : { kept }) }
  await operations.start(CLEANUP_KIND, params, { subject: `vm ${vmId}`, locks: [vmLock(vmId)] })
}

/** True while a cleanup of this VM is under way: the VM counts as gone, and its id is not free yet. */
export function isBeingCleanedUp(operations: OperationManager, vmId: string): boolean {
  return operations
    .list(CLEANUP_KIND)
    .some(({ state, params }) => !isFinal(state) && (params as CleanupParams).vmId === vmId)
}

/** The operation that removes a VM which must not be, with all that was made for it. Holds the VM's lock meanwhile. */
export function cleanupHandler(
  deps: DomainDeps,
  client: Pick<LibvirtClient, 'ready'>,
): OperationHandler<CleanupParams, undefined, never> {
  return {
    kind: CLEANUP_KIND,
    onRestart: 'resume',
    onShutdown: 'interrupt',
    run: async (params, ctx) => {
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
        try {
          await client.ready(ctx.signal)
          await cleanUp(params, deps, ctx)
          return
        } catch (error) {
          ctx.signal.throwIfAborted()
          if (!mayPass(error)) throw error
          ctx.log.warn({ vm: params.vmId, err: errorText(error) }, 'cleanup of a VM has to wait')
          await delay(pauseMs, ctx.signal)
        }
      }
    },
  }
}

/** True for trouble that may be over later: libvirt or storage that does not answer now. */
export function mayPass(error: unknown): boolean {
  const { code, reason } = toAgentError(error)
  return code === 'UNAVAILABLE' || code === 'DEADLINE_EXCEEDED' || LOST_STORAGE.has(reason)
}

async function cleanUp({ vmId, volumes, kept }: CleanupParams, deps: DomainDeps, ctx: OpContext): Promise<void> {
  const dom = await findDomain(deps.libvirt, vmId, ctx.signal)
  if (dom !== undefined) await removeDomain(deps, dom, vmId, ctx.signal)
  await deleteOwnVolumes(deps, volumes, vmId, ctx, 'others')
  await removeVmDirectory(deps, vmId)
  if (kept !== undefined) await removeKept(kept, vmId, deps.libvirt, ctx.signal)
}
