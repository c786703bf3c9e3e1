import { describe, expect, test } from 'vitest'
import type { DiskSource } from '../../../src/core/model.ts'
import { attachInfo } from '../../../src/domains/attach-info.ts'
import { sourceXml } from '../../../src/domains/disk-xml.ts'
import { domainXml } from '../../../src/domains/domain-xml.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { writeXml } from '../../../src/libvirt/write-xml.ts'
import { definition, disk, rbd } from './definitions.ts'

const SECRET = '<secret type="ceph" uuid="0b0c7a52-0d0e-4a51-9a44-1f6a2a7c9b10"/>'
const device: DiskSource = { type: 'block', device: '/dev/vg/lv', format: 'raw' }

describe('<source> of', () => {
  test.each<[string, DiskSource, string]>([
    ['a file', { type: 'file', path: '/p/a&b.qcow2', format: 'qcow2' }, '<source file="/p/a&amp;b.qcow2"/>'],
    ['a device', device, '<source dev="/dev/vg/lv"/>'],
    [
      'a Ceph image, with IPv6 without brackets',
      rbd({
        monitors: [
          { host: 'fd00::5', port: 3300 },
          { host: '10.0.0.5', port: 6789 },
        ],
      }),
      '<source protocol="rbd" name="guests/vms.web_6f0c1a52.root"><host name="fd00::5" port="3300"/>' +
        `<host name="10.0.0.5" port="6789"/><auth username="node-1">${SECRET}</auth></source>`,
    ],
    [
      'a Ceph image in a namespace',
      rbd({ name: 'guests/team-a/root', monitors: [] }),
      `<source protocol="rbd" name="guests/team-a/root"><auth username="node-1">${SECRET}</auth></source>`,
    ],
    [
      'a Ceph image with hostile names',
      rbd({ name: 'g/"><x>&', user: '"/><y', monitors: [{ host: '<z', port: 1 }] }),
      `<source protocol="rbd" name="g/&quot;&gt;&lt;x&gt;&amp;"><host name="&lt;z" port="1"/><auth username="&quot;/&gt;&lt;y">${SECRET}</auth></source>`,
    ],
  ])('%s', (_, source, xml) => {
    expect(writeXml(sourceXml(source)).replace(/\n\s*/g, '')).toBe(xml)
  })
})

test('nothing of the Ceph configuration of the host is in the domain', () => {
  const xml = domainXml(definition({ disks: [disk({ source: rbd() })] }))
  expect(xml).not.toContain(rbd().configFile)
})

test.each<[string, DiskSource, object]>([
  ['a device', device, { type: 'raw', cache: 'none', io: 'native', discard: 'unmap' }],
  ['a Ceph image', rbd(), { type: 'raw', cache: 'writeback', io: undefined, discard: 'unmap' }],
])('how %s is attached', async (_, source, driver) => {
  const { path, diskXml } = await attachInfo({ source })
  expect(path).toBe(source.type === 'block' ? '/dev/vg/lv' : 'rbd:guests/vms.web_6f0c1a52.root')
  const xml = readXml(diskXml)
  expect(xml.attribute('type')).toBe(source.type)
  for (const [name, value] of Object.entries(driver)) expect(xml.first('driver')?.attribute(name)).toBe(value)
  expect(xml.first('target')?.attribute('dev')).toBe('vda')
  expect(xml.first('backingStore')).toBeDefined()
})

test('a qcow2 volume may have a chain, which libvirt reads from it', async () => {
  const { path, diskXml } = await attachInfo({ source: { type: 'file', path: '/p/a.qcow2', format: 'qcow2' } })
  expect(path).toBe('/p/a.qcow2')
  expect(readXml(diskXml).first('backingStore')).toBeUndefined()
})
