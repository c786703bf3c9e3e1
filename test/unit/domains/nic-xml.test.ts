import { expect, test } from 'vitest'
import type { NicTarget } from '../../../src/domains/definition.ts'
import { nicPlace, nicXml } from '../../../src/domains/nic-xml.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { writeXml } from '../../../src/libvirt/write-xml.ts'

const targets: NicTarget[] = [
  { type: 'user' },
  { type: 'network', network: 'a <b> & "c"' },
  { type: 'bridge', bridge: 'br0' },
  { type: 'ovs', bridge: 'br-int' },
  { type: 'ovs', bridge: 'br-int', vlan: 120 },
]

test.each(targets)('where a NIC is plugged in is found again in its XML: %o', (target) => {
  const nic = { id: 'nic0', macAddress: '52:54:00:aa:bb:01', model: 'virtio', target } as const
  expect(nicPlace(readXml(writeXml(nicXml(nic, undefined))))).toEqual(target)
})

test('a device of the host is no such place', () => {
  expect(nicPlace(readXml('<interface type="direct"><source dev="eth0"/></interface>'))).toBeUndefined()
})
