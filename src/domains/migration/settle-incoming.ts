import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import {
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_PAUSED,
  VIR_DOMAIN_SHUTOFF,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../../libvirt/constants.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import type { RemoteNonnullDomain } from '../../libvirt/wire/remote-types.gen.ts'
import { delay, monotonicMs } from '../../platform/clock.ts'
import { domainRef, findDomain } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { removeDomain } from '../vm-remains.ts'
import { agentStops } from './agent-stops.ts'
import type { MigrationParts } from './build-offer.ts'
import { postCopyStateOf } from './split.ts'

const TIMEOUT_MS = 30_000
const POLL_MS = 250
/** libvirt may be in the middle of what it was asked to do by an agent that died. */
const UNDECIDED_MS = 30_000
const PAUSE_MS = 1_000

interface IncomingVm {
  readonly vmId: string
  readonly paused: boolean
  readonly off: boolean
  readonly refused: boolean
}

interface SettleParts {
  readonly client: Pick<MigrationParts['client'], 'call'>
  readonly deps: Pick<MigrationParts['deps'], 'libvirt'>
}

/**
 * What became of a VM that was coming in when the thread to it broke: `arrived` when it runs here, `split` when it is here without all of its memory and no more comes, else `gone`, which it is made when a QEMU only waits. `opening`: it cannot have run; `refused`: libvirt has said
 * itself that it does not let it run. One that came while it was `off` is made here by its definition alone, after `opening`: what is here before is `foreign`, somebody else's.
 * Errors: LIBVIRT_*, when it cannot be told.
 */
export async function settleIncoming(
  vm: IncomingVm,
  phase: 'opening' | 'finishing',
  { client, deps }: SettleParts,
  ctx: OpContext,
): Promise<'arrived' | 'gone' | 'foreign' | 'split'> {
  const { vmId } = vm
  const options = { timeoutMs: TIMEOUT_MS, signal: ctx.signal, mayOverlap: true }
  const dom = domainRef(vmId)
  const since = monotonicMs()
  const readState = () => client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 }, options)
  const isDefined = async () => (await client.call('remote:DOMAIN_IS_PERSISTENT', { dom }, options)).persistent !== 0
  const remove = async () => {
    await removeDomain(deps, dom, vmId, ctx.signal)
    return 'gone' as const
  }
  for (;;) {
    if ((await findDomain(client, vmId, ctx.signal)) === undefined) return 'gone'
    if (phase === 'opening') return vm.off ? 'foreign' : remove()
    try {
      // Of a VM that is off libvirt tells no job.
      const before = await readState()
      const postCopy = postCopyStateOf(before)
      // After a libvirtd that was killed, what goes on without it is called broken off as well, until it has ended.
      if (postCopy === 'split' && monotonicMs() - since > UNDECIDED_MS) return 'split'
      if (postCopy !== undefined) {
        await delay(POLL_MS, ctx.signal)
        continue
      }
      const busy = !isDown(before.state) && (await hasJob(dom, client, options))
      // It may have been let run since, or have ended.
      const { state, reason } = await readState()
      if (isDown(state)) {
        // It was never let run. libvirt gives the same reason to a guest that ran when it has lost its QEMU, but then it did not answer.
        if (vm.refused && reason === VIR_DOMAIN_SHUTOFF.FAILED) return await remove()
        // libvirt defines it before it lets it run. What was ended, crashed or shut itself down after that may have run, and changed its disks.
        return (await isDefined()) ? 'arrived' : await remove()
      }
      if (!busy || monotonicMs() - since > UNDECIDED_MS) {
        if (state !== VIR_DOMAIN_STATE.PAUSED) return 'arrived'
        const waits = reason === VIR_DOMAIN_PAUSED.MIGRATION || reason === VIR_DOMAIN_PAUSED.STARTING_UP
        return (await isDefined()) && (vm.paused || !waits) ? 'arrived' : await remove()
      }
    } catch (error) {
      if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN)) throw vmError(error, vmId)
    }
    await delay(POLL_MS, ctx.signal)
  }
}

function isDown(state: number): boolean {
  return state === VIR_DOMAIN_STATE.SHUTOFF || state === VIR_DOMAIN_STATE.CRASHED
}

// While it is the target of a migration libvirt refuses to tell, and so it does of one that has just ended.
async function hasJob(
  dom: RemoteNonnullDomain,
  client: Pick<MigrationParts['client'], 'call'>,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<boolean> {
  try {
    return (await client.call('remote:DOMAIN_GET_JOB_INFO', { dom }, options)).type !== VIR_DOMAIN_JOB.NONE
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) return true
    throw error
  }
}

/** What became of it, as soon as libvirt can tell; a QEMU that waits in vain is ended. Without that answer nothing may be said of it, so it is not given up but with the agent. */
export async function settlePatiently(
  vm: IncomingVm,
  phase: 'opening' | 'finishing',
  parts: MigrationParts,
  ctx: OpContext,
): Promise<'arrived' | 'gone' | 'foreign' | 'split'> {
  const stopping = agentStops(ctx.signal)
  for (;;) {
    try {
      await parts.client.ready(stopping)
      return await settleIncoming(vm, phase, parts, { ...ctx, signal: stopping })
    } catch (error) {
      stopping.throwIfAborted()
      ctx.log.warn({ vm: vm.vmId, err: errorText(error) }, 'cannot tell yet what became of an incoming migration')
      await delay(PAUSE_MS, stopping)
    }
  }
}
