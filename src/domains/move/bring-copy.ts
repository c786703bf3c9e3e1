import { AgentError, errorText } from '../../core/errors.ts'
import { deleteCheckpoint } from '../backup/backup-job.ts'
import { readHalves } from '../domain-halves.ts'
import { copyWayOf } from './copy-ways.ts'
import { dropVolume } from './drop-volume.ts'
import { isLost } from './mirror.ts'
import { listCheckpoints } from './move-obstacles.ts'
import { STEP_TIMEOUT_MS, type MoveRun } from './move-run.ts'
import { defineBack } from './moved-definition.ts'
import { sizeOf } from './plan-move.ts'

/** A VM may be started and stopped by others while it is copied; more often than so somebody else has to end that first. */
const MAX_ATTEMPTS = 5
const MAX_LOST = 10

/** Copies a disk until the VM has the copy. CONFLICT when others never leave it alone, errors of its CopyWay. */
export async function bringCopy(run: MoveRun): Promise<void> {
  const { ctx } = run
  const { vmId, diskId } = run.request
  const { client } = run.options.parts
  let lost = 0
  for (let attempt = 0; attempt < MAX_ATTEMPTS;) {
    ctx.signal.throwIfAborted()
    try {
      await client.ready(ctx.signal)
      if (await attemptCopy(run)) return
      attempt++
    } catch (error) {
      // What was copied is worth a wait for libvirt.
      if (!isLost(error) || ++lost > MAX_LOST) throw error
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'a move has to wait for libvirt')
      const patience = AbortSignal.any([ctx.signal, AbortSignal.timeout(STEP_TIMEOUT_MS)])
      await client.ready(patience).catch(() => Promise.reject(error))
    }
  }
  throw new AgentError(
    'CONFLICT',
    `disk ${diskId}: somebody starts and stops VM ${vmId} or changes the disk all the time; repeat the move when that is over`,
  )
}

async function attemptCopy(run: MoveRun): Promise<boolean> {
  const { request, notes, copy, ctx } = run
  const { vmId, dropCheckpoints } = request
  const { parts, inventory, afterStep } = run.options
  const { side, strayed } = await copy.whereIs(await copy.find(ctx), ctx)
  if (side === 'copy') return true
  if (strayed !== undefined) await defineBack(vmId, notes.now.plan, strayed, parts, ctx)
  if (dropCheckpoints) await forgetCheckpoints(run)
  const halves = await readHalves(parts.client, vmId, ctx.signal)
  if (halves.live === undefined) await noteSize(run)
  return copyWayOf(halves).run({
    request,
    plan: notes.now.plan,
    halves,
    parts,
    inventory,
    ctx,
    afterStep: (name) => afterStep?.(name),
    copy: () => copy.find(ctx),
    dropCopy: async () => {
      await notes.save({ phase: 'copying' })
      await dropVolume(notes.now.plan.volume, run, ctx)
    },
    noteCopy: (source) => notes.save({ copy: source }),
    watch: {
      beforeSwitch: async () => {
        await notes.save({ phase: 'switching' })
        afterStep?.('switching')
      },
      stayed: () => notes.save({ phase: 'copying' }),
    },
  })
}

async function forgetCheckpoints({ request: { vmId }, options, ctx: { signal } }: MoveRun): Promise<void> {
  const { client } = options.parts
  for (const name of await listCheckpoints(vmId, client, { signal })) await deleteCheckpoint(vmId, name, client, signal)
}

// A volume may be grown while its VM is off.
async function noteSize({ notes, ctx }: MoveRun): Promise<void> {
  const { plan } = notes.now
  await notes.save({ plan: { ...plan, sizeBytes: await sizeOf(plan.source, ctx) } })
}
