import { describe, expect, test } from 'vitest'
import { placeOf } from '../../../src/core/model.ts'
import { parseDomain } from '../../../src/domains/domain-info.ts'
import { domainXml } from '../../../src/domains/domain-xml.ts'
import { monitorText } from '../../../src/storage/ceph-client.ts'
import { cdrom, definition, definitionTable, disk, rbd } from './definitions.ts'

describe('domain XML read back', () => {
  test.each(definitionTable)('%s: identity, labels and devices survive', (_, given) => {
    const facts = parseDomain(domainXml(given))
    expect(facts).toMatchObject({
      vmId: given.vmId,
      name: given.name,
      managed: true,
      specDigest: given.metadata.specDigest,
      cpuCount: given.topology.sockets * given.topology.cores * given.topology.threads,
      memoryBytes: given.memoryBytes,
      labels: given.metadata.labels,
    })
    expect(
      facts.disks.map(({ id, path, format, sizeBytes, readonly, poolId, volume, owned }) => ({
        ...{ id, path, format, sizeBytes, readonly, poolId, volume, owned },
      })),
    ).toEqual(
      given.disks.map(({ id, source, sizeBytes, readonly, poolId, volume, owned }) => ({
        ...{ id, path: placeOf(source), format: source.format, sizeBytes, readonly, poolId, volume, owned },
      })),
    )
    expect(facts.cdroms.map(({ id, path, role }) => ({ id, path, role }))).toEqual(
      given.cdroms.map(({ id, path, role }) => ({ id, path, role })),
    )
  })

  test('target names are unique, past z too, and CD-ROMs are named after the number of disks', () => {
    const given = definition({
      disks: [...Array.from({ length: 28 }, (_, i) => disk({ id: `s${i}`, bus: i % 2 ? 'scsi' : 'sata' })), disk()],
      cdroms: [cdrom(), cdrom({ id: 'seed', role: 'seed' })],
    })
    const facts = parseDomain(domainXml(given))
    const names = [...facts.disks, ...facts.cdroms].map((device) => device.targetDev)
    expect(new Set(names).size).toBe(names.length)
    expect(names.slice(25, 31)).toEqual(['sdz', 'sdaa', 'sdab', 'vda', 'sdad', 'sdae'])
  })

  test('all layers of a backing chain are paths of the domain', () => {
    const given = definition({
      disks: [disk({ backing: [{ type: 'file', path: '/images/a.qcow2', format: 'qcow2' }] })],
    })
    expect(parseDomain(domainXml(given)).paths).toEqual([placeOf(disk().source), '/images/a.qcow2'])
  })

  test('devices and Ceph images are places, below a file too', () => {
    const given = definition({
      disks: [
        disk({ source: { type: 'block', device: '/dev/vg/root', format: 'raw' } }),
        disk({ id: 'a', source: rbd({ name: 'guests/team-a/data' }) }),
        disk({ id: 'b', backing: [rbd({ name: 'guests/base' })] }),
      ],
    })
    const facts = parseDomain(domainXml(given))
    expect(facts.disks.map(({ monitors }) => monitors)).toEqual([undefined, rbd().monitors.map(monitorText), undefined])
    expect(facts.paths).toEqual(['/dev/vg/root', 'rbd:guests/team-a/data', placeOf(disk().source), 'rbd:guests/base'])
    expect(facts.disks.map(({ place }) => place)).toEqual([facts.paths[0], facts.paths[1], facts.paths[2]])
  })

  test('the target of a running block copy, and a logical volume by its other name, are places', () => {
    const xml = domainXml(
      definition({ disks: [disk({ source: { type: 'block', device: '/dev/mapper/v--g-root', format: 'raw' } })] }),
    ).replace('</disk>', `<mirror type="block"><source dev="/dev/mapper/v--g-copy"/></mirror></disk>`)
    const facts = parseDomain(xml)
    expect(facts.paths).toEqual(['/dev/v-g/root', '/dev/v-g/copy'])
    expect(facts.disks).toMatchObject([{ path: '/dev/mapper/v--g-root', place: '/dev/v-g/root' }])
  })

  test('thousands of entities in labels are no reason to give up', () => {
    const labels = { a: '&<>'.repeat(5000) }
    const given = definition({ metadata: { ...definition().metadata, labels } })
    expect(parseDomain(domainXml(given)).labels).toEqual(labels)
  })

  test('a foreign domain is read as not managed', () => {
    const facts = parseDomain(`<domain type='kvm'><name>007</name><uuid>6F0C1A52-0D0E-4A51-9A44-1F6A2A7C9B10</uuid>
      <metadata><lqx:vm xmlns:lqx="urn:other" id="x"><lqx:spec digest="d"/></lqx:vm></metadata>
      <memory>1048576</memory><vcpu placement='static'>3</vcpu><devices>
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/x &amp; y.img'/><target dev='hda' bus='ide'/></disk>
      <disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='hdc'/></disk></devices></domain>`)
    expect(facts).toMatchObject({ name: '007', managed: false, specDigest: '', cpuCount: 3, memoryBytes: 2 ** 30 })
    expect(facts.vmId).toBe('6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10')
    expect(facts.disks).toMatchObject([{ id: 'hda', path: '/x & y.img', owned: false, format: 'raw' }])
    expect(facts.cdroms).toEqual([{ id: 'hdc', path: '/dev/sr0', targetDev: 'hdc', role: '' }])
  })

  test('what is not XML, or declares entities, is refused', () => {
    expect(() => parseDomain('<domain>')).toThrow('cannot be read')
    expect(() => parseDomain('<!DOCTYPE d [<!ENTITY a "b">]><domain>&a;</domain>')).toThrow('cannot be read')
  })
})
