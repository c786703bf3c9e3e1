import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf, type DiskSource } from '../../core/model.ts'
import { devicePlace } from '../device-place.ts'
import type { DomainHalf } from '../domain-halves.ts'
import { chainAt } from '../layer-state.ts'
import { readGuestSide, type CopiedDisk } from './guest-side.ts'
import { copiedDisk, diskAt, type MoveParts } from './move-request.ts'
import type { MovePlan } from './plan-move.ts'
import { readSettledHalves } from './settled-halves.ts'

/** How far a move is. While `switching`, what the guest writes is in both volumes, in the copy alone, or, when the switch came to nothing, in the source alone; from `switched` on in the copy. */
export type MovePhase = 'copying' | 'switching' | 'switched' | 'givingUp'

/** Where the disk of a VM is. */
export interface Whereabouts {
  readonly side: 'source' | 'copy'
  /** The disk under the running guest; absent while nobody has it open. */
  readonly live?: CopiedDisk
  /** What the guest runs with, when that is the source and its next start would have the copy. */
  readonly strayed?: DomainHalf
}

/** What is known of a move besides its plan. */
export interface Copied {
  /** Absent when none was ever noted. */
  readonly copy: DiskSource | undefined
  readonly phase: MovePhase
  /** Whether source and copy, which nobody has open, hold the same bytes. */
  readonly sameBytes: (copy: DiskSource) => Promise<boolean>
}

/**
 * Which of the two volumes a VM has as its disk: the one that QEMU writes to, or of a VM that is off, the one its next start has. Where a switch was begun, the VM is off and its definition names the source, nobody knows what QEMU came
 * to before it ended: then the bytes decide. Equal ones leave the source, which everything was flushed to. DISK_CHAIN_BROKEN when they differ, when a guest that had switched was started with the source, or when the VM has neither of the two; LIBVIRT_*.
 */
export async function whereIs(
  vmId: string,
  plan: MovePlan,
  copied: Copied,
  parts: Pick<MoveParts, 'client'>,
  ctx: OpContext,
): Promise<Whereabouts> {
  const { copy, phase, sameBytes } = copied
  const { live, config } = await readSettledHalves(vmId, parts.client, ctx.signal)
  const [top] = chainAt(config, plan.target)
  const next = await devicePlace(top ?? '')
  const isNext = async (one: DiskSource) => next === (await devicePlace(placeOf(one)))
  if (live !== undefined && copy !== undefined && diskAt(live, plan.target) !== undefined) {
    const disk = copiedDisk(vmId, plan, live, copy)
    const side = await readGuestSide(disk, parts.client, ctx.signal)
    if (side === 'off') return whereIs(vmId, plan, copied, parts, ctx)
    if (side === 'source' && phase === 'switched')
      throw undecided(
        vmId,
        plan,
        copy,
        'somebody has started it with the first one after that, so that each may have what the other has not',
      )
    return { side, live: disk, ...(side === 'source' && (await isNext(copy)) ? { strayed: live } : {}) }
  }
  if (copy !== undefined && (await isNext(copy))) return { side: 'copy' }
  if (!(await isNext(plan.source)))
    throw new AgentError(
      'DISK_CHAIN_BROKEN',
      `VM ${vmId}: somebody else has put disk ${plan.target} on ${quote(top ?? 'nothing')} while it was moved`,
    )
  if (copy === undefined) return { side: 'source' }
  if (phase === 'switched') return { side: 'copy' }
  if (phase !== 'switching') return { side: 'source' }
  const isSame = await sameBytes(copy).catch((error: unknown) => {
    if (!isAgentError(error, 'COMMAND_FAILED')) throw error
    throw undecided(vmId, plan, copy, `it went off meanwhile, and they cannot be compared (${errorText(error)})`)
  })
  if (isSame) return { side: 'source' }
  throw undecided(vmId, plan, copy, 'it went off meanwhile, they differ, and nothing tells which one is newer')
}

function undecided(vmId: string, plan: MovePlan, copy: DiskSource, why: string): AgentError {
  const places = `${quote(placeOf(plan.source))} to ${quote(placeOf(copy))}`
  return new AgentError(
    'DISK_CHAIN_BROKEN',
    `VM ${vmId}: disk ${plan.diskId} was switched from ${places}: ${why}. Neither was deleted (${described(plan)}): look at both; the VM starts with the first one`,
  )
}

/** The volumes of a move, for people. Pure. */
export function described({ leaves, volume }: MovePlan): string {
  const name = (one: MovePlan['volume']) => `volume ${one.name} of pool ${one.poolId}`
  return leaves === undefined ? name(volume) : `${name(leaves)}, ${name(volume)}`
}
