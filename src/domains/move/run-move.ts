import { AgentError, isAgentError } from '../../core/errors.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { bringCopy } from './bring-copy.ts'
import { finishMove, type MovedDisk } from './finish-move.ts'
import { giveUpMove } from './give-up-move.ts'
import { MoveNotes, type MoveJournal } from './move-journal.ts'
import type { MoveRequest } from './move-request.ts'
import type { MoveOptions, MoveRun } from './move-run.ts'
import { NewDisk } from './new-disk.ts'
import { persistStep } from './persist-step.ts'

/** One run of a move, from its start or from what an earlier process has left: the disk is brought over or the move given up, and what follows from either is done. Errors: those of `bringCopy` and `finishMove`, ABORTED_BY_RESTART. */
export async function runMove(
  request: MoveRequest,
  journal: MoveJournal,
  options: MoveOptions,
  ctx: OperationContext<MoveJournal>,
): Promise<MovedDisk> {
  const notes = new MoveNotes(request.vmId, journal, ctx)
  const run: MoveRun = { request, options, notes, copy: new NewDisk(request, notes, options.parts, ctx), ctx }
  try {
    if (journal.phase === 'givingUp' || journal.unwanted === true) {
      const { vmId, diskId } = request
      throw new AgentError(
        'ABORTED_BY_RESTART',
        `the move of disk ${diskId} of VM ${vmId} was given up before the restart`,
      )
    }
    await bringCopy(run)
  } catch (error) {
    if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw error
    await notes.saveSafely({ unwanted: true })
    const hasMoved = await persistStep('what is left of a move cannot be removed yet', run, (step) =>
      giveUpMove(run, step),
    )
    if (!hasMoved) throw error
  }
  await notes.saveSafely({ phase: 'switched' })
  options.afterStep?.('switched')
  return persistStep('a disk that has moved cannot be written down yet', run, (step) => finishMove(run, step))
}
