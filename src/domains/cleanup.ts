import type { LibvirtClient } from '../libvirt/client.ts'
import type { OperationHandler } from '../operations/operation.ts'
import type { DomainDeps } from './deps.ts'
import { findDomain } from './libvirt-domain.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, type VolumeRef } from './vm-remains.ts'

/** Kind of the operation in the journal. */
export const CLEANUP_KIND = 'vm.cleanup'

export interface CleanupParams {
  readonly vmId: string
  readonly volumes: readonly VolumeRef[]
}

/**
 * Removes what a failed create left when libvirt could not be asked at once: waits for libvirt as long as it takes, over restarts of the agent too. Holds the VM's
 * lock meanwhile.
 */
export function cleanupHandler(
  deps: DomainDeps,
  client: Pick<LibvirtClient, 'ready'>,
): OperationHandler<CleanupParams, undefined, never> {
  return {
    kind: CLEANUP_KIND,
    onRestart: 'resume',
    onShutdown: 'interrupt',
    run: async ({ vmId, volumes }, ctx) => {
      await client.ready(ctx.signal)
      const dom = await findDomain(deps.libvirt, vmId, ctx.signal)
      if (dom !== undefined) await removeDomain(deps, dom, vmId, ctx.signal)
      await deleteOwnVolumes(deps, volumes, vmId, ctx)
      await removeVmDirectory(deps, vmId)
    },
  }
}
