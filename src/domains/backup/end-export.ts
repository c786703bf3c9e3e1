import { errorText, isAgentError } from '../../core/errors.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { vmLock } from '../power.ts'
import { deleteCheckpoint, endJob, listCheckpoints } from './backup-job.ts'
import { socketOf } from './backup-xml.ts'
import { removeSocketDirectory } from './export-directory.ts'
import type { ExportJournal } from './export-journal.ts'
import type { ExportParts } from './export-parts.ts'
import type { ExportOutcome, ExportRequest } from './export-record.ts'
import { hasRoom } from './export-room.ts'
import { removeScratch } from './export-scratch.ts'
import { readExportState } from './export-state.ts'
import { resumeAfterIoError } from './io-error-pause.ts'
import { EXPORT_CHECKPOINT, type PlannedExport } from './plan-export.ts'

type Context = OperationContext<ExportJournal>

const UNDO_WAIT_MS = 60_000
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 30_000
const UNINTERRUPTED = new AbortController().signal

/**
 * Takes an export down, however long that takes: nothing of it may stay. Returns how it ended, which is not as `asked` when the guest could not wait until that was written down. Throws only when the agent stops.
 */
export async function endExport(
  { vmId }: ExportRequest,
  plan: PlannedExport,
  asked: ExportOutcome,
  parts: ExportParts,
  ctx: Context,
): Promise<ExportOutcome> {
  const { afterStep } = parts
  let outcome = asked
  let [isNoted, isResumed] = [false, false]
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      isNoted ||= await note(outcome, plan, ctx)
      afterStep?.('ending')
      // A cancelled one has to be taken down as well.
      const timed = { ...ctx, signal: AbortSignal.timeout(UNDO_WAIT_MS) }
      await close(vmId, plan, parts, timed)
      try {
        await clear(vmId, plan, outcome, parts, timed)
      } finally {
        // Once, when there is room again if there ever is: a guest whose own disk fails is not stopped over and over.
        if (!isResumed) await resume(vmId, parts, ctx)
        isResumed = true
      }
      return outcome
    } catch (error) {
      if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw error
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'an export cannot be taken down yet')
      if (outcome === 'complete' && !isNoted) outcome = (await dangerOf(vmId, plan, parts, ctx)) ?? outcome
    }
    await delay(pauseMs, UNINTERRUPTED)
  }
}

// Why the guest cannot wait until an export that is still open can be ended otherwise.
async function dangerOf(
  vmId: string,
  plan: PlannedExport,
  { client, deps }: ExportParts,
  ctx: Context,
): Promise<'io-error' | 'no-room' | undefined> {
  // What is asked here has deadlines of its own, and says nothing when one is over.
  const whole = { ...ctx, signal: UNINTERRUPTED }
  const state = await readExportState(vmId, plan, client, whole)
  if (state === 'io-error') return state
  return state === 'open' && !(await hasRoom(plan, deps.pools, whole)) ? 'no-room' : undefined
}

// Nothing of one that is complete goes before that is written down. Of any other one the next agent finds the same without: while nothing can be written, it must not stay open.
async function note(outcome: ExportOutcome, plan: PlannedExport, ctx: Context): Promise<boolean> {
  try {
    await ctx.save({ plan, phase: 'ending', outcome })
    return true
  } catch (error) {
    if (outcome === 'complete') throw error
    ctx.log.warn({ err: errorText(error) }, 'the end of an export cannot be written down now')
    return false
  }
}

async function close(
  vmId: string,
  { socket }: PlannedExport,
  { client, afterStep }: ExportParts,
  { signal }: Context,
): Promise<void> {
  await client.ready(signal)
  await endJob(vmId, (job) => socketOf(job) === socket, client, signal)
  afterStep?.('closed')
}

async function clear(
  vmId: string,
  plan: PlannedExport,
  outcome: ExportOutcome,
  { client, deps, locks }: ExportParts,
  ctx: Context,
): Promise<void> {
  const isOld = (name: string) => name.startsWith(EXPORT_CHECKPOINT) && name !== plan.checkpoint
  const unwanted =
    outcome !== 'complete'
      ? [plan.checkpoint]
      : plan.checkpoint === ''
        ? []
        : (await listCheckpoints(vmId, client, ctx.signal)).filter(isOld)
  await locks.run(vmLock(vmId), ctx.signal, async () => {
    for (const name of unwanted) await deleteCheckpoint(vmId, name, client, ctx.signal)
  })
  await removeScratch(plan, deps.pools, ctx)
  await removeSocketDirectory(plan.socket, ctx.log)
}

// QEMU stops a guest that would overwrite what it cannot keep; without the export it need not keep it.
async function resume(vmId: string, { client, locks }: ExportParts, { log }: Context): Promise<void> {
  const signal = AbortSignal.timeout(UNDO_WAIT_MS)
  await locks.run(vmLock(vmId), signal, () => resumeAfterIoError(vmId, client, { signal, log }))
}
