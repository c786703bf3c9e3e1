import { expect, test } from 'vitest'
import { postCopyProblems } from '../../../../src/domains/migration/split.ts'

test('post-copy is for VMs that have nothing besides memory on two hosts', () => {
  const snapshots = [{ name: 's', xml: '<domainsnapshot/>', current: true }]
  expect(postCopyProblems({ off: false, snapshots: [] }, [])).toEqual([])
  expect(postCopyProblems({ off: true, snapshots }, [])).toEqual([])
  expect(postCopyProblems({ off: false, snapshots }, ['vda', 'vdb'])).toEqual([
    expect.stringContaining('it has 1 snapshot(s)'),
    expect.stringContaining('copied (vda, vdb)'),
  ])
})
