import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText, toAgentError } from '../../core/errors.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { mayPass, startCleanup } from '../cleanup.ts'
import { removeKept } from '../kept-by-libvirt.ts'
import { findDomain } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory } from '../vm-remains.ts'
import type { IncomingJournal, IncomingParams } from './incoming-journal.ts'
import type { IncomingOptions } from './incoming-options.ts'
import { tlsAdvice } from './tls-advice.ts'

const DISCARD_TIMEOUT_MS = 180_000

/** Removes all that was made here for a VM that did not come, or leaves that to a cleanup. */
export async function discardIncoming(
  { vmId, volumes, off }: IncomingParams,
  { kept }: Pick<IncomingJournal, 'kept'>,
  { parts, operations }: Pick<IncomingOptions, 'parts' | 'operations'>,
  ctx: OperationContext<IncomingJournal>,
): Promise<void> {
  const rest: OpContext = { ...ctx, signal: AbortSignal.timeout(DISCARD_TIMEOUT_MS) }
  try {
    await forget(vmId, kept, ctx)
    // Of one that is off nothing was here before this was written: what is now is somebody else's.
    const dom = off ? undefined : await findDomain(parts.client, vmId, rest.signal)
    if (dom !== undefined) await removeDomain(parts.deps, dom, vmId, rest.signal)
    await deleteOwnVolumes(parts.deps, volumes, vmId, rest)
    await removeVmDirectory(parts.deps, vmId)
    if (kept !== undefined) await removeKept(kept, vmId, parts.client, rest.signal)
  } catch (error) {
    if (!mayPass(error))
      ctx.log.error({ vm: vmId, err: errorText(error) }, 'remains of a migration are left to a cleanup')
    await startCleanup(operations, vmId, volumes, kept)
  }
}

/** Writes that a VM did not come, which leaves no passwords of it in the history of operations. With what libvirt keeps of it that is a condition of all that follows: from then on a definition of that id says nothing of where the VM is. */
async function forget(vmId: string, kept: string | undefined, ctx: OperationContext<IncomingJournal>): Promise<void> {
  if (kept !== undefined) return ctx.save({ phase: 'gone', configXml: '', kept })
  await ctx.save({ phase: 'gone', configXml: '' }).catch((error: unknown) => {
    ctx.log.warn(
      { vm: vmId, err: errorText(error) },
      'the journal of a migration keeps a definition that it needs no more',
    )
  })
}

/** What is told when a VM did not come: MIGRATION_REFUSED as it is, or MIGRATION_FAILED. */
export function incomingFailure(error: unknown, vmId: string): AgentError {
  const { message, reason } = error instanceof AgentError ? error : vmError(error, vmId)
  return reason === 'MIGRATION_REFUSED'
    ? toAgentError(error)
    : new AgentError('MIGRATION_FAILED', `${message}${tlsAdvice(error, 'target')}`, { cause: error })
}
