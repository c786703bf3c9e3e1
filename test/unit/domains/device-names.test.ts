import { describe, expect, test } from 'vitest'
import type { DomainDefinition } from '../../../src/domains/definition.ts'
import { guestProfile } from '../../../src/domains/guest-profiles.ts'
import { nameDevices } from '../../../src/domains/device-names.ts'
import { domainXml } from '../../../src/domains/domain-xml.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { cdrom, definition, definitionTable, disk } from './definitions.ts'

const seed = cdrom({ id: 'cloud-init', path: '/state/cloud-init.iso', role: 'seed' })

describe('the bus of the cloud-init seed', () => {
  test.each<[string, Partial<DomainDefinition>, string]>([
    ['virtio disks', { disks: [disk()] }, 'scsi'],
    ['SCSI disks', { disks: [disk({ bus: 'scsi' })] }, 'scsi'],
    ['a SATA and a virtio disk', { disks: [disk({ bus: 'sata' }), disk({ id: 'b' })] }, 'scsi'],
    ['SATA disks only', { disks: [disk({ bus: 'sata' })] }, 'sata'],
    ['no disk', { disks: [] }, 'sata'],
    ['Windows on virtio disks', { disks: [disk()], guest: guestProfile('windows_server') }, 'sata'],
  ])('with %s', (_, part, bus) => {
    const { cdroms } = nameDevices(definition({ ...part, cdroms: [cdrom(), seed] }))
    expect(cdroms.map((placed) => placed.bus)).toEqual(['sata', bus])
  })

  test('it keeps its name after the drives of the user, and shares the controller of the SCSI disks', () => {
    const given = definition({ disks: [disk({ bus: 'scsi' }), disk({ id: 'b' })], cdroms: [cdrom(), seed] })
    const devices = readXml(domainXml(given)).first('devices')
    const drives = (devices?.all('disk') ?? []).map((one) => {
      const [target, address] = [one.first('target'), one.first('address')]
      return [target?.attribute('dev'), target?.attribute('bus'), address?.attribute('unit')]
    })
    expect(drives).toEqual([
      ['sda', 'scsi', '0'],
      ['vda', 'virtio', undefined],
      ['sdc', 'sata', '0'],
      ['sdd', 'scsi', '1'],
    ])
    const scsi = (devices?.all('controller') ?? []).filter((one) => one.attribute('type') === 'scsi')
    expect(scsi.map((one) => one.attribute('model'))).toEqual(['virtio-scsi'])
  })
})

test.each(definitionTable)('%s: no two drives have one name or one place', (_, given) => {
  const { disks, cdroms } = nameDevices(given)
  const drives = [...disks, ...cdroms]
  expect(new Set(drives.map(({ target }) => target)).size).toBe(drives.length)
  const placed = drives.filter(({ bus }) => bus !== 'virtio').map(({ bus, unit }) => `${bus}:${unit}`)
  expect(new Set(placed).size).toBe(placed.length)
})
