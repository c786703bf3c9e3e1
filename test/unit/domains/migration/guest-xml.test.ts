import { describe, expect, test } from 'vitest'
import { parseDomain } from '../../../../src/domains/domain-info.ts'
import { domainXml } from '../../../../src/domains/domain-xml.ts'
import { strangeCookie, strangeFlags, strangeParts } from '../../../../src/domains/migration/guest-xml.ts'
import { cdrom, definition, definitionTable } from '../definitions.ts'

const limitsOf = (xml: string) => {
  const { vmId, name, paths } = parseDomain(xml)
  const directory = `/var/lib/limiquantix/vms/${vmId}`
  return { vmId, name, directory, places: new Set(paths), emulator: undefined }
}

test.each(definitionTable)('what the agent makes may come in: %s', (_, made) => {
  const xml = domainXml(made)
  expect(strangeParts(xml, limitsOf(xml))).toEqual([])
})

describe('what it does not make may not', () => {
  const xml = domainXml(definition({ cdroms: [cdrom()] }))
  const limits = limitsOf(xml)
  const inDevices = (text: string) => xml.replace('</devices>', `${text}</devices>`)
  const inDomain = (text: string) => xml.replace('</domain>', `${text}</domain>`)
  const cases: readonly (readonly [string, string])[] = [
    ['arguments of QEMU', inDomain('<q:commandline xmlns:q="http://libvirt.org/schemas/domain/qemu/1.0"/>')],
    ['a device of the host', inDevices('<hostdev mode="subsystem" type="pci"/>')],
    ['a directory of the host', inDevices('<filesystem type="mount"><source dir="/etc"/></filesystem>')],
    ['shared memory', inDevices('<shmem name="a"/>')],
    ['a second list of devices', inDomain('<devices/>')],
    ['no confinement', inDomain('<seclabel type="none" model="dac"/>')],
    ['another label', inDomain('<seclabel type="static" model="dac"><label>+0:+0</label></seclabel>')],
    ['a kernel of the host', xml.replace('</os>', '<kernel>/boot/vmlinuz</kernel></os>')],
    ['firmware from anywhere', xml.replace('</os>', '<loader>/root/x</loader></os>')],
    ['a file by a detour', xml.replace('</os>', '<loader>/usr/share/qemu/../../../root/x</loader></os>')],
    ['another program', inDevices('<emulator>/usr/bin/env</emulator>')],
    ['a serial line to a file', inDevices('<serial type="file"><source path="/etc/passwd"/></serial>')],
    ['a log elsewhere', xml.replace(`${limits.directory}/console.log`, '/etc/cron.d/x')],
    ['a channel to a socket', inDevices('<channel type="unix"><source mode="connect" path="/run/x"/></channel>')],
    [
      'the monitor of another guest',
      inDevices(
        '<channel type="unix"><source mode="bind" path="/var/lib/libvirt/qemu/domain-1/monitor.sock"/></channel>',
      ),
    ],
    ['another disk', inDevices('<disk type="block"><source dev="/dev/sda"/><target dev="vdz"/></disk>')],
    ['another ISO', xml.replace('/pools/p1/iso/debian.iso', '/etc/shadow')],
    [
      'a disk of a server',
      inDevices(
        '<disk type="network"><source protocol="nbd" name="x"><host name="h"/></source><target dev="vdz"/></disk>',
      ),
    ],
    ['a volume of libvirt', inDevices('<disk type="volume"><source pool="p" volume="v"/><target dev="vdz"/></disk>')],
    ['a NIC of the host', inDevices('<interface type="direct"><source dev="eth0"/></interface>')],
    ['a NIC with a script', inDevices('<interface type="user"><script path="x"/></interface>')],
    ['an open display', inDevices('<graphics type="vnc" listen="0.0.0.0"/>')],
    ['randomness of a device', inDevices('<rng model="virtio"><backend model="random">/dev/sda</backend></rng>')],
  ]
  test.each(cases)('%s', (_, hostile) => {
    expect(hostile).not.toBe(xml)
    expect(strangeParts(hostile, limits)).not.toEqual([])
    const cookie = Buffer.from(`<qemu-migration>${hostile}</qemu-migration>\0`).toString('base64')
    expect(strangeCookie(cookie, limits)).not.toEqual([])
  })
  test('another VM', () => {
    expect(strangeParts(xml, { ...limits, name: 'other' })).toHaveLength(1)
    expect(strangeParts(xml, { ...limits, vmId: '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b11' })).not.toEqual([])
  })
})

test('flags are those of a migration between agents', () => {
  expect(strangeFlags(1 | 8 | 512)).toEqual([])
  expect(strangeFlags(2)).not.toEqual([])
})
