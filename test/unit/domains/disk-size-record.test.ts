import { expect, test } from 'vitest'
import { withDiskSize } from '../../../src/domains/disk-size-record.ts'

const METADATA = `<vm id="1">
  <labels><label><name>a</name><value>&lt;disk target="vda" size="1"/&gt;</value></label></labels>
  <disks>
    <disk id="root" target="vda" pool="p" volume="v" size="10"/>
    <disk id='data' target='vdb' size='20'/>
  </disks>
</vm>`

test.each([
  ['vda', 'size="10"', 'size="30"'],
  ['vdb', "size='20'", "size='30'"],
])('changes the size of %s alone, whatever labels say', (target, before, after) => {
  expect(withDiskSize(METADATA, target, 30)).toBe(METADATA.replace(before, after))
})

test('leaves the metadata as it is for a disk that is not in it', () => {
  expect(withDiskSize(METADATA, 'vdc', 30)).toBe(METADATA)
})
