import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { DiskWriter, GuestLease, LeasedDisk, LeasePlace } from '../storage/guest-lease.ts'

/** Why a VM of another host's lease must not run here. */
export interface Objection {
  readonly text: string
  /** An admin who knows better may overrule it. */
  readonly mayTakeOver: boolean
}

/** What speaks against running a VM with another host's lease; undefined when it is proved that it may run. Errors: those of LeasePlace. */
export async function objectionTo(
  { facts }: GuestLease,
  place: LeasePlace,
  disks: readonly LeasedDisk[],
  patienceMs: number,
  ctx: OpContext,
): Promise<Objection | undefined> {
  const blindSpot = await place.blindSpot(disks, ctx)
  const writer = await place.findWriter(disks, patienceMs, ctx)
  if (writer !== undefined) return { text: beingWritten(writer), mayTakeOver: false }
  if (facts?.phase === 'saved')
    return { text: 'its memory is saved there, and would be of no use with changed disks', mayTakeOver: true }
  if (facts?.phase === 'claimed')
    return { text: 'it is about to start there, or its disks are worked on while it is off', mayTakeOver: true }
  return blindSpot === undefined ? undefined : { text: blindSpot, mayTakeOver: true }
}

/** VM_RUNS_ELSEWHERE for an objection to another host's lease. */
export function elsewhere(vmId: string, { facts }: GuestLease, { text, mayTakeOver }: Objection): AgentError {
  const who = facts === undefined ? 'another host' : `host ${facts.host} (agent ${facts.holder}), since ${facts.since}`
  const remedy = mayTakeOver
    ? 'make sure that it is off there and start it with takeOver'
    : 'stop it there, or migrate it here'
  const details = facts === undefined ? {} : { host: facts.host, agentId: facts.holder, since: facts.since }
  return new AgentError('VM_RUNS_ELSEWHERE', `VM ${vmId} is held by ${who}: ${text}; ${remedy}`, { details })
}

/** VM_RUNS_ELSEWHERE for a disk that somebody writes to while no other host says that it has the VM. */
export function inUse(vmId: string, writer: DiskWriter): AgentError {
  return new AgentError(
    'VM_RUNS_ELSEWHERE',
    `VM ${vmId} is off here, and ${beingWritten(writer)}; stop what has it open there (a host that died lets go of it within a minute)`,
  )
}

function beingWritten({ disk, who }: DiskWriter): string {
  return `its disk ${disk} is being written to${who === undefined ? '' : ` from ${who}`}`
}
