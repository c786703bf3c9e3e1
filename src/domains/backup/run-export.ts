import { isAgentError } from '../../core/errors.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { vmLock } from '../power.ts'
import { beginJob } from './backup-job.ts'
import { checkpointXml, pullXml } from './backup-xml.ts'
import { endExport } from './end-export.ts'
import { makeSocketDirectory } from './export-directory.ts'
import { describeExport, type ExportJournal } from './export-journal.ts'
import type { ExportParts } from './export-parts.ts'
import type { BackupExport, ExportOutcome, ExportRequest } from './export-record.ts'
import { hasRoom } from './export-room.ts'
import { makeScratch } from './export-scratch.ts'
import { readExportState } from './export-state.ts'
import { planExport, type PlannedExport } from './plan-export.ts'

/** Through which an export that runs and those who asked for it hear of each other. */
export interface LiveExport {
  /** Resolved by the export. */
  readonly opened: PromiseWithResolvers<BackupExport>
  /** Resolved by who wants it to end. */
  readonly ended: PromiseWithResolvers<ExportOutcome>
}

type Context = OperationContext<ExportJournal>

const LOOK_MS = 1_000
/** So many looks between two at the room in the pool. */
const ROOM_EVERY = 5

/** Opens an export, or adopts the one that the journal tells of, stays until it ends, and takes it down. Errors: those of `planExport`, BACKUP_UNSUPPORTED, LIBVIRT_*. */
export async function runExport(
  request: ExportRequest,
  live: LiveExport,
  parts: ExportParts,
  ctx: Context,
): Promise<ExportOutcome> {
  await parts.client.ready(ctx.signal)
  const before = ctx.journal
  if (before?.phase === 'ending') return endExport(request, before.plan, before.outcome ?? 'given-up', parts, ctx)
  // Whoever asked for it was never told.
  if (before?.phase === 'opening') return endExport(request, before.plan, 'given-up', parts, ctx)
  const plan = before?.plan ?? (await planExport(request, parts, ctx))
  if (before === undefined) await open(request, plan, parts, ctx)
  live.opened.resolve(describeExport(ctx.id, request, plan))
  ctx.progress({ phase: 'open' })
  let outcome: ExportOutcome
  try {
    outcome = await untilEnd(request.vmId, plan, live, parts, ctx)
  } catch (error) {
    if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw error
    await endExport(request, plan, 'given-up', parts, ctx)
    throw error
  }
  return endExport(request, plan, outcome, parts, ctx)
}

async function open(request: ExportRequest, plan: PlannedExport, parts: ExportParts, ctx: Context): Promise<void> {
  const { client, deps, locks, afterStep } = parts
  const { vmId } = request
  await ctx.save({ plan, phase: 'opening' })
  afterStep?.('planned')
  try {
    const scratch = await makeScratch(plan, `export of VM ${vmId}`, deps.pools, ctx)
    await makeSocketDirectory(plan.socket, plan.owner)
    afterStep?.('scratch')
    const backup = pullXml({ ...plan, scratch })
    const checkpoint = plan.checkpoint === '' ? null : checkpointXml(plan.checkpoint, plan.disks, plan.allDisks)
    await locks.run(vmLock(vmId), ctx.signal, () => beginJob(vmId, { backup, checkpoint }, client))
    afterStep?.('exported')
    await ctx.save({ plan, phase: 'open' })
  } catch (error) {
    if (!isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) await endExport(request, plan, 'given-up', parts, ctx)
    throw error
  }
}

async function untilEnd(
  vmId: string,
  plan: PlannedExport,
  { ended }: LiveExport,
  { client, deps }: ExportParts,
  ctx: Context,
): Promise<ExportOutcome> {
  let asked: ExportOutcome | undefined
  void ended.promise.then((outcome) => (asked = outcome))
  for (let looks = 0; ; looks++) {
    const state = await readExportState(vmId, plan, client, ctx)
    if (state === 'closed') return asked === 'given-up' ? asked : 'lost'
    // One that nobody can tell of just now is not complete.
    if (asked !== undefined && state !== undefined) return asked
    if (Date.now() >= plan.expiresAt) return 'expired'
    // The guest comes first.
    if (state === 'io-error') return state
    if (looks % ROOM_EVERY === 0 && !(await hasRoom(plan, deps.pools, ctx))) return 'no-room'
    const pause = Math.min(LOOK_MS, Math.max(plan.expiresAt - Date.now(), 1))
    await (asked === undefined ? Promise.race([delay(pause, ctx.signal), ended.promise]) : delay(pause, ctx.signal))
  }
}
