import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** What is kept of a VM whose guest is at another host while the rest of its memory was left here. */
export interface SplitMark {
  readonly name: string
  /** Where its guest is: URL of the agent there. */
  readonly target: string
  /** ISO 8601, by the clock of this host. */
  readonly since: string
}

/** What those that change VMs need of the marks on them; what each does is told in vm-splits.ts. */
export interface SplitKeeper {
  mark(vmId: string, mark: SplitMark): Promise<void>
  refuse(vmId: string, signal: AbortSignal): Promise<void>
  settle(vmId: string, signal: AbortSignal): Promise<SplitMark | undefined>
  resolve(vmId: string): Promise<void>
}

/** MIGRATION_SPLIT for work on a VM that is marked. Pure. */
export function stillSplit(vmId: string, { name, target, since }: SplitMark): AgentError {
  return new AgentError(
    'MIGRATION_SPLIT',
    `VM ${vmId} (${quote(name)}) is left as it is: its migration to ${target} broke off at ${since}, its guest and its disks are that host's, and what is here must not be used. To go on there: force it off here, then force it off and start it there, then undefine it here (virsh undefine). To go on here instead: force it off on both hosts and start it here with takeOver (docs/vms.md, Migration)`,
    { details: { target, since } },
  )
}
