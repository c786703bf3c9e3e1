import { expect, test } from 'vitest'
import { qemuPlace } from '../../../src/domains/move/guest-side.ts'

test.each([
  ['/pool/vms/web/data.qcow2', '/pool/vms/web/data.qcow2'],
  ['/dev/vg/data', '/dev/vg/data'],
  ['rbd:vms/data:id=admin:mon_host=192.0.2.1', 'rbd:vms/data'],
  ['json:{"driver": "rbd", "pool": "vms", "image": "data", "user": "admin"}', 'rbd:vms/data'],
  ['json:{"driver": "rbd", "pool": "vms", "namespace": "team", "image": "data"}', 'rbd:vms/team/data'],
  ['json:{"driver": "raw", "file": {"driver": "rbd", "pool": "vms", "image": "a/b"}}', 'rbd:vms/a/b'],
  ['json:{"driver": "nbd"}', 'json:{"driver": "nbd"}'],
  ['json:{broken', 'json:{broken'],
])('QEMU has %s', (file, place) => {
  expect(qemuPlace(file)).toBe(place)
})
