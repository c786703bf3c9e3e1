import { describe, expect, test } from 'vitest'
import { strayMaps } from '../../../src/storage/device-maps.ts'
import { checkLvmNames, isMapOf, mapName, snapshotLv, volumeLv } from '../../../src/storage/lvm-names.ts'
import {
  claimTag,
  generationTag,
  nodeTag,
  poolTag,
  readGroupTags,
  readVolumeTags,
  snapshotTags,
  volumeTags,
} from '../../../src/storage/lvm-tags.ts'

describe('names of logical volumes', () => {
  test('a plain name stays as it is, a slash becomes a plus sign', () => {
    expect(volumeLv('vg', 'disk-0')).toBe('disk-0')
    expect(volumeLv('vg', 'vms/web_1/disk-0')).toBe('vms+web_1+disk-0')
  })

  test.each(['snapshot1', 'pvmove0', 'a_tmeta', 'x_rimage_0', 'b_pmspare', `v/${'-'.padStart(126, 'a')}`])(
    'what LVM reserves or cannot hold gets a hash: %s',
    (name) => {
      expect(volumeLv('vg', name)).toMatch(/^\+\+v\.[0-9a-f]{32}$/)
    },
  )

  test('different volumes and snapshots never share a name', () => {
    const long = 'a'.repeat(110)
    const names = [
      volumeLv('vg', 'a/b'),
      volumeLv('vg', 'a'),
      volumeLv('vg', 'b'),
      volumeLv('vg', `${long}-1`),
      volumeLv('vg', `x/${long}-1`),
      volumeLv('vg', `x/${long}-2`),
      snapshotLv('vg', 'a', 'b'),
      snapshotLv('vg', 'a/b', 'b'),
      snapshotLv('vg', 'a_tmeta', 'b'),
      snapshotLv('vg', `x/${long}-1`, 'one'),
      snapshotLv('vg', `x/${long}-1`, 'two'),
    ]
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) expect(mapName('vg', name).length).toBeLessThanOrEqual(127)
  })

  test('entries of device-mapper are told from those of groups with a similar name', () => {
    expect(mapName('vg_a', 'x-1')).toBe('vg_a-x--1')
    expect(isMapOf('vg_a', 'vg_a-thin--pool-tpool')).toBe(true)
    expect(isMapOf('vg_a', 'vg_a--b-thin')).toBe(false)
    expect(isMapOf('vg', 'vg_a-thin')).toBe(false)
  })

  test.each([
    ['-x', 'thin'],
    ['a b', 'thin'],
    ['..', 'thin'],
    ['vg', 'thin_tdata'],
    ['vg/../x', 'thin'],
    ['v'.repeat(100), 't'.repeat(40)],
  ])('refuses the group %s with the thin pool %s', (group, pool) => {
    expect(() => checkLvmNames('lvm', group, pool)).toThrow(/^lvm\./)
  })
})

describe('tags', () => {
  const spec = {
    name: 'vms/a/disk',
    format: 'raw',
    sizeBytes: 2 ** 30,
    content: { type: 'copy', source: { type: 'file', path: `/srv/ü ${'x'.repeat(3000)}`, format: 'qcow2' } },
    owner: 'vm:1',
  } as const

  test('a record comes back whatever is in it, in tags that LVM takes', () => {
    const tags = [...volumeTags(spec), claimTag('node-1')]
    for (const tag of tags) {
      expect(tag).toMatch(/^[A-Za-z0-9_+./=!:&#-]+$/)
      expect(tag.length).toBeLessThanOrEqual(1024)
    }
    // LVM lists tags in no particular order.
    expect(readVolumeTags(tags.toReversed())).toEqual({ volume: spec, claim: 'node-1' })
    const record = { volume: 'a/b', snapshot: 'one', createdAt: 1 }
    expect(readVolumeTags(snapshotTags(record))).toEqual({ snapshot: record })
  })

  test('tags of others and damaged ones are no record', () => {
    expect(readVolumeTags(['backup', 'limiquantix.volume.0=AAAA'])).toEqual({})
    expect(readVolumeTags(volumeTags(spec).slice(0, 1))).toEqual({})
  })

  test('a volume group says whose it is', () => {
    const tags = ['x', poolTag('p'), generationTag('g'), nodeTag('n')]
    expect(readGroupTags(tags)).toEqual({ pool: 'p', generation: 'g', nodes: ['n'], takers: [] })
  })
})

test('entries of device-mapper on a disk that is gone are found, with all that stand on them', () => {
  const map = (kernel: string, ...below: string[]) => ({ kernel, name: kernel, below })
  const good = [map('dm-0', 'sdb'), map('dm-1', 'dm-0')]
  const lost = [map('dm-2', 'sdc'), map('dm-3', 'dm-2', 'dm-0'), map('dm-4')]
  expect(strayMaps([...good, ...lost], ['/dev/sdb'])).toEqual(lost)
})
