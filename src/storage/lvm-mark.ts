import { AgentError } from '../core/errors.ts'
import { nodeTag, takerTag, type GroupTags } from './lvm-tags.ts'

// An initialisation that was killed leaves a mark without a pool that the agent there knows.
const IN_USE = 'destroy the pool there (initialise it first if it is not known there)'
const BEING_TAKEN = 'try again; if it stays so, initialise or destroy the pool there'

/** What another host has put on a volume group. */
export interface Mark {
  readonly node: string
  readonly tag: string
  readonly has: 'is in use by' | 'is being taken by'
  /** What to do while that host lives. */
  readonly remedy: string
}

/** Somebody else's mark: of the one who has it, else of one who wants it. */
export function otherMark({ nodes, takers }: Pick<GroupTags, 'nodes' | 'takers'>, nodeId: string): Mark | undefined {
  const [node, taker] = [nodes, takers].map((names) => names.find((name) => name !== nodeId))
  if (node !== undefined) return { node, tag: nodeTag(node), has: 'is in use by', remedy: IN_USE }
  if (taker === undefined) return undefined
  return { node: taker, tag: takerTag(taker), has: 'is being taken by', remedy: BEING_TAKEN }
}

/** POOL_IN_USE: whose mark is on the volume group, and how to get it off. */
export function inUse(volumeGroup: string, { node, tag, has, remedy }: Mark): AgentError {
  return new AgentError(
    'POOL_IN_USE',
    `volume group ${volumeGroup} ${has} another host (agent ${node}), and a thin pool that two hosts use is lost; ${remedy}, or if that host is gone for good: vgchange --deltag ${tag} ${volumeGroup}`,
  )
}
