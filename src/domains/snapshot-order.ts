import type { VmSnapshot } from '../core/model.ts'

type Placed = Pick<VmSnapshot, 'id' | 'parentId' | 'createdAt'>

/** Snapshots of one VM oldest first. libvirt counts whole seconds: of one second, a parent comes before what hangs on it, then they go by name. Pure. */
export function oldestFirst<S extends Placed>(snapshots: readonly S[]): S[] {
  const parents = new Map(snapshots.map(({ id, parentId }) => [id, parentId]))
  const depths = new Map(snapshots.map(({ id }) => [id, depthOf(id, parents)]))
  const depth = ({ id }: Placed) => depths.get(id) ?? 0
  return snapshots.toSorted((a, b) => a.createdAt - b.createdAt || depth(a) - depth(b) || (a.id < b.id ? -1 : 1))
}

// A tree that goes round in a circle ends where it began.
function depthOf(id: string, parents: ReadonlyMap<string, string>): number {
  const seen = new Set([id])
  for (let parent = parents.get(id); parent !== undefined && !seen.has(parent); parent = parents.get(parent)) {
    seen.add(parent)
  }
  return seen.size - 1
}
