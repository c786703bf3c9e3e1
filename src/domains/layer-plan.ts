/** A layer of a disk as found. */
export interface LayerFacts {
  readonly path: string
  /** Id of the disk. */
  readonly disk: string
  readonly overlay: boolean
  /** False for an overlay that was noted and is not there: it was never made, or has been deleted. */
  readonly present: boolean
  /** The file right below it, as its header says. */
  readonly backing: string | undefined
}

/** What brings the layers of a VM nearer to what its snapshots need. */
export type LayerStep =
  | { readonly type: 'forget'; readonly path: string }
  /** Nothing needs it. */
  | { readonly type: 'drop'; readonly path: string }
  /** Only `top` needs `base`: they become one, in the file of `base`. */
  | { readonly type: 'merge'; readonly top: string; readonly base: string }

/**
 * The next step for the layers of a VM, or undefined when they are as they should be. `kept` are the files that snapshots stand for, `active` those a guest writes to, now or at its next start. Neither is ever deleted or
 * changed; what two layers stand on stays too, until one of them is gone. Disks that are not in the VM any more (no layer of theirs is active) are left alone. Pure: a crash between two steps, or within one, is repaired by asking again.
 */
export function nextLayerStep(
  layers: readonly LayerFacts[],
  kept: ReadonlySet<string>,
  active: ReadonlySet<string>,
): LayerStep | undefined {
  const missing = layers.find(
    ({ overlay, present, path }) => overlay && !present && !active.has(path) && !kept.has(path),
  )
  if (missing !== undefined) return { type: 'forget', path: missing.path }
  const present = layers.filter((layer) => layer.present)
  const disks = new Set(present.filter(({ path }) => active.has(path)).map(({ disk }) => disk))
  const merges: LayerStep[] = []
  for (const { path, disk, overlay } of present) {
    if (!disks.has(disk) || kept.has(path) || active.has(path)) continue
    const above = present.filter(({ backing }) => backing === path)
    const [top] = above
    // Dropping comes first: it may leave one layer less that stands on another.
    if (top === undefined) {
      if (overlay) return { type: 'drop', path }
    } else if (above.length === 1) merges.push({ type: 'merge', top: top.path, base: path })
  }
  return merges[0]
}
