import { setInterval } from 'node:timers'
import { errorText, isAgentError } from '../../core/errors.ts'
import { VIR_MIGRATE, VIR_MIGRATE_PARAM } from '../../libvirt/constants.ts'
import type { DedicatedConnection } from '../../libvirt/dedicated-connection.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import { typedParam } from '../../libvirt/typed-params.ts'
import { writeXml } from '../../libvirt/write-xml.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { keptDefinition } from '../kept-by-libvirt.ts'
import { readXml, toNode } from '../read-xml.ts'
import { arrive, defineIncoming } from './arrive.ts'
import { refused } from './build-offer.ts'
import { judgeOffer } from './check-offer.ts'
import { appendConsoleTail } from './console-tail.ts'
import { discardIncoming, incomingFailure } from './discard-incoming.ts'
import { strangeCookie, strangeFlags, strangeParts, strangeSnapshot } from './guest-xml.ts'
import type { IncomingJournal, IncomingParams, IncomingResult } from './incoming-journal.ts'
import type { IncomingOptions } from './incoming-options.ts'
import { LOST_MS, type IncomingSession } from './incoming-session.ts'
import { makeRoom } from './make-room.ts'
import { settlePatiently } from './settle-incoming.ts'
import { isSplitAtTarget, postCopyProblems, splitToHere, unlessSplit } from './split.ts'

const PREPARE_TIMEOUT_MS = 180_000
const FINISH_TIMEOUT_MS = 600_000
/** setTimeout takes no more. Nobody knows how long the rest of the memory takes after the switch. */
const POST_COPY_TIMEOUT_MS = 2 ** 31 - 1

/** Takes a VM in, step by step as its source asks for it, until it is this host's. What breaks on the way is brought to an end: the VM is here, or all that was made for it is removed. Errors: MIGRATION_REFUSED, MIGRATION_FAILED, MIGRATION_SPLIT. */
export async function receiveIncoming(
  session: IncomingSession,
  params: IncomingParams,
  options: Pick<IncomingOptions, 'parts' | 'operations' | 'address' | 'lostMs' | 'afterStep'>,
  ctx: OperationContext<IncomingJournal>,
): Promise<IncomingResult> {
  const { parts, lostMs = LOST_MS, address, afterStep } = options
  const { client } = parts
  const { vmId, name } = params
  const onAbort = () => {
    const isStopping = isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')
    session.cancel(
      `the ${isStopping ? 'agent of the target host stops' : 'migration was cancelled on the target host'}`,
    )
  }
  ctx.signal.addEventListener('abort', onAbort, { once: true })
  const watch = setInterval(
    () => {
      if (session.silentMs() > lostMs) session.cancel(`nothing was heard of the source for ${lostMs / 1000} s`)
    },
    Math.min(lostMs / 4, 1_000),
  )
  let connection: DedicatedConnection | undefined
  let begun = false
  let journal: IncomingJournal | undefined
  let kept: Pick<IncomingJournal, 'kept'> = {}
  try {
    if (ctx.signal.aborted) onAbort()
    session.heard()
    // One that was left here is gone by now, and the VM comes back.
    await parts.deps.splits?.settle(vmId, ctx.signal)
    // Once more, now that nobody else can change it.
    const judgement = await judgeOffer(session.offer, parts, ctx)
    if (judgement.problems.length > 0) throw refused(vmId, judgement.problems)
    await ctx.save({ phase: 'opening', configXml: '' })
    begun = true
    afterStep?.('opening')
    ctx.progress({ phase: 'opening' })
    const room = await makeRoom(session.offer, session.files, judgement, parts, ctx)
    const { opened, disks, limits, snapshotLimits, snapshots } = room
    const allow = (look: () => string[]) => requireOrdinary(vmId, look)
    allow(() => [...strangeParts(opened.liveXml, limits), ...strangeParts(opened.configXml, limits)])
    allow(() => snapshots.flatMap(({ xml }) => strangeSnapshot(xml, snapshotLimits)))
    afterStep?.('opened')
    session.over.throwIfAborted()
    session.opened.resolve(opened)
    if (params.off) {
      ctx.progress({ phase: 'receiving' })
      await session.next(session.finishCall.promise)
      session.decide()
      clearInterval(watch)
      journal = { phase: 'finishing', configXml: opened.configXml, snapshots }
      await ctx.save(journal)
      afterStep?.('finishing')
      return await defineIncoming(params, journal, options, ctx)
    }
    const call = await session.next(session.prepareCall.promise)
    allow(() => strangeFlags(call.flags))
    const postCopy = (call.flags & VIR_MIGRATE.POSTCOPY) !== 0
    allow(() => (postCopy ? postCopyProblems(session.offer, disks) : []))
    allow(() => [...strangeParts(call.xml, limits), ...strangeCookie(call.cookie, limits)])
    ctx.progress({ phase: 'preparing' })
    const definition = keptDefinition(call.xml)
    if (definition !== undefined) {
      kept = { kept: definition }
      await ctx.save({ phase: 'opening', configXml: '', ...kept })
    }
    const dedicated = await client.openDedicated(session.over)
    connection = dedicated
    dedicated.ended.then(
      (why) => session.cancel(`libvirt of the target host went away: ${why.message}`),
      () => undefined,
    )
    const listen = await address(ctx.signal)
    const host = listen.includes(':') ? `[${listen}]` : listen
    const { uri_out, cookie_out } = await dedicated.call(
      'remote:DOMAIN_MIGRATE_PREPARE3_PARAMS',
      {
        params: [
          typedParam.string(VIR_MIGRATE_PARAM.URI, `tcp://${host}`),
          typedParam.string(VIR_MIGRATE_PARAM.LISTEN_ADDRESS, listen),
          typedParam.string(VIR_MIGRATE_PARAM.DEST_NAME, name),
          typedParam.string(VIR_MIGRATE_PARAM.DEST_XML, writeXml(toNode(readXml(call.xml)))),
          ...disks.map((disk) => typedParam.string(VIR_MIGRATE_PARAM.MIGRATE_DISKS, disk)),
        ],
        cookie_in: Buffer.from(call.cookie, 'base64'),
        flags: call.flags,
      },
      { timeoutMs: PREPARE_TIMEOUT_MS, signal: session.over },
    )
    afterStep?.('prepared')
    session.prepared.resolve({ uri: uri_out ?? '', cookie: Buffer.from(cookie_out).toString('base64') })
    ctx.progress({ phase: 'receiving' })
    const { cookie, consoleTail } = await session.next(session.finishCall.promise)
    // The definition for its next start comes only now.
    allow(() => strangeCookie(cookie, limits))
    session.decide()
    clearInterval(watch)
    ctx.progress({ phase: 'switching' })
    journal = { phase: 'finishing', configXml: opened.configXml, ...kept, snapshots }
    await ctx.save(journal)
    afterStep?.('finishing')
    if (consoleTail !== undefined) await appendConsoleTail(limits.directory, consoleTail, ctx)
    const finished = dedicated.call(
      'remote:DOMAIN_MIGRATE_FINISH3_PARAMS',
      {
        params: [typedParam.string(VIR_MIGRATE_PARAM.DEST_NAME, name)],
        cookie_in: Buffer.from(cookie, 'base64'),
        // Flags of the source's alone mean nothing here.
        flags: call.flags & ~VIR_MIGRATE.CHANGE_PROTECTION,
        cancelled: 0,
      },
      { timeoutMs: postCopy ? POST_COPY_TIMEOUT_MS : FINISH_TIMEOUT_MS },
    )
    const { cookie_out: last } = await unlessSplit(
      finished,
      (signal) => isSplitAtTarget(vmId, client, signal),
      () => splitToHere(vmId, name),
      ctx,
    )
    afterStep?.('finished')
    session.finishCookie = Buffer.from(last).toString('base64')
    return await arrive(params, 'arrived', journal, options, ctx)
  } catch (error) {
    ctx.log.warn({ vm: vmId, err: errorText(error) }, 'an incoming migration ends')
    // Before the connection is closed here, which ends the session as well.
    const why: unknown = session.over.aborted ? session.over.reason : error
    // What was prepared on it goes with it.
    connection?.close()
    const phase = journal === undefined ? 'opening' : 'finishing'
    const vm = { ...params, refused: isLibvirtError(error) }
    const became = isAgentError(error, 'MIGRATION_SPLIT')
      ? 'split'
      : begun
        ? await settlePatiently(vm, phase, parts, ctx)
        : undefined
    if (became === 'arrived' || became === 'split') return await arrive(params, became, journal, options, ctx)
    if (became === 'gone') await discardIncoming(params, kept, options, ctx)
    throw incomingFailure(why, vmId)
  } finally {
    clearInterval(watch)
    ctx.signal.removeEventListener('abort', onAbort)
    connection?.close()
  }
}

// What comes from another host is started by libvirt as root: only what this agent would make itself.
function requireOrdinary(vmId: string, look: () => string[]): void {
  let strange: readonly string[]
  try {
    strange = look()
  } catch (error) {
    throw refused(vmId, [`what came of it cannot be read: ${errorText(error)}`])
  }
  if (strange.length > 0) throw refused(vmId, strange)
}
