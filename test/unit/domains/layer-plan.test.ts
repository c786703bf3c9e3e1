import { expect, test } from 'vitest'
import { nextLayerStep, type LayerFacts } from '../../../src/domains/layer-plan.ts'

const layer = (path: string, backing?: string, part: Partial<LayerFacts> = {}): LayerFacts => ({
  path,
  disk: 'root',
  overlay: backing !== undefined,
  present: true,
  backing,
  ...part,
})
const next = (layers: LayerFacts[], kept: string[], active: string[]) =>
  nextLayerStep(layers, new Set(kept), new Set(active))
const chain = [layer('0'), layer('1', '0'), layer('2', '1')]

test('a chain of which snapshots need every layer stays', () => {
  expect(next(chain, ['0', '1'], ['2'])).toBeUndefined()
})

test('a layer that no snapshot stands for takes in the one above it', () => {
  expect(next(chain, ['0'], ['2'])).toEqual({ type: 'merge', top: '2', base: '1' })
  expect(next(chain, ['1'], ['2'])).toEqual({ type: 'merge', top: '1', base: '0' })
})

test('the end of a branch that nothing needs goes, before anything is merged', () => {
  const branches = [...chain, layer('3', '0')]
  expect(next(branches, ['1'], ['3'])).toEqual({ type: 'drop', path: '2' })
  expect(next(branches, [], ['3'])).toEqual({ type: 'drop', path: '2' })
})

test('what two layers stand on stays as it is', () => {
  expect(next([...chain, layer('3', '0')], ['1'], ['2', '3'])).toBeUndefined()
})

test('what a guest writes to, now or at its next start, is neither dropped nor written into', () => {
  expect(next(chain, [], ['0', '2'])).toEqual({ type: 'merge', top: '2', base: '1' })
  expect(next([layer('0'), layer('1', '0')], [], ['0', '1'])).toBeUndefined()
})

test('an overlay that was noted and never made is forgotten; one that a guest needs is not', () => {
  const noted = [layer('0'), layer('1', '0', { present: false, backing: undefined })]
  expect(next(noted, [], ['0'])).toEqual({ type: 'forget', path: '1' })
  expect(next(noted, [], ['1'])).toBeUndefined()
})

test('disks that the VM does not have now are left alone, and so are their first files', () => {
  expect(next(chain, [], ['other'])).toBeUndefined()
  expect(next([layer('0'), layer('1', '0')], [], ['1'])).toEqual({ type: 'merge', top: '1', base: '0' })
})

// Every tree of up to five layers, any of them kept, any leaf active: the plan ends, and keeps what it must.
test('from every state it comes to an end with what snapshots and guest need', () => {
  const trees = (n: number): number[][] =>
    n === 1 ? [[-1]] : trees(n - 1).flatMap((tree) => tree.map((_, parent) => [...tree, parent]))
  for (const tree of trees(5)) {
    for (let mask = 0; mask < 2 ** tree.length; mask++) {
      for (const [active] of tree.entries()) {
        if (tree.includes(active) || (mask & (1 << active)) !== 0) continue
        settle(tree, mask, active)
      }
    }
  }
})

/** Content of a layer = the set of what was written on its way; merging moves it down. */
function settle(tree: readonly number[], mask: number, start: number): void {
  let layers = tree.map((parent, index) => layer(String(index), parent === -1 ? undefined : String(parent)))
  const content = new Map(layers.map(({ path }) => [path, path]))
  let kept = layers.filter((_, index) => (mask & (1 << index)) !== 0).map(({ path }) => path)
  let active = String(start)
  const wanted = [...kept, active].map((path) => content.get(path)).sort()
  for (let steps = 0; ; steps++) {
    expect(steps).toBeLessThan(20)
    const step = next(layers, kept, [active])
    if (step === undefined) break
    if (step.type === 'merge') {
      const { top, base } = step
      content.set(base, content.get(top) ?? '')
      kept = kept.map((path) => (path === top ? base : path))
      if (active === top) active = base
      layers = layers
        .filter(({ path }) => path !== top)
        .map((one) => (one.backing === top ? { ...one, backing: base } : one))
    } else {
      expect([...kept, active]).not.toContain(step.path)
      layers = layers.filter(({ path }) => path !== step.path)
    }
    for (const { backing } of layers)
      if (backing !== undefined) expect(layers.map(({ path }) => path)).toContain(backing)
  }
  expect([...kept, active].map((path) => content.get(path)).sort()).toEqual(wanted)
  // What is left beyond that is what two others stand on, and the first file.
  for (const { path, overlay } of layers) {
    if (kept.includes(path) || path === active || !overlay) continue
    expect(layers.filter(({ backing }) => backing === path).length).toBeGreaterThan(1)
  }
}
