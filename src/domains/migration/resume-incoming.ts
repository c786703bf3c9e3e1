import { AgentError } from '../../core/errors.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { agentStops } from './agent-stops.ts'
import { arrive, defineIncoming } from './arrive.ts'
import { discardIncoming, incomingFailure } from './discard-incoming.ts'
import type { IncomingJournal, IncomingParams, IncomingResult } from './incoming-journal.ts'
import type { IncomingOptions } from './incoming-options.ts'
import { settlePatiently } from './settle-incoming.ts'

/** Brings an incoming migration to its end that an earlier agent had begun, by its journal and what is true now. Throws ABORTED_BY_RESTART when the VM is not here. */
export async function resumeIncoming(
  params: IncomingParams,
  options: Pick<IncomingOptions, 'parts' | 'operations' | 'afterStep'>,
  ctx: OperationContext<IncomingJournal>,
): Promise<IncomingResult> {
  const { journal } = ctx
  const why = new AgentError(
    'ABORTED_BY_RESTART',
    `VM ${params.vmId}: the agent of the target host was restarted while it came in`,
  )
  // Nothing was made.
  if (journal === undefined) throw why
  if (params.off && journal.phase === 'finishing') {
    try {
      return await defineIncoming(params, journal, options, ctx)
    } catch (error) {
      agentStops(ctx.signal).throwIfAborted()
      await discardIncoming(params, {}, options, ctx)
      throw incomingFailure(error, params.vmId)
    }
  }
  const { phase } = journal
  const isKnown = phase === 'arrived' || phase === 'split' || phase === 'gone'
  const became = isKnown ? phase : await settlePatiently({ ...params, refused: false }, phase, options.parts, ctx)
  if (became === 'arrived' || became === 'split') return arrive(params, became, journal, options, ctx)
  if (became === 'gone') await discardIncoming(params, journal, options, ctx)
  throw why
}
