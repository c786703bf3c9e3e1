import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { GIB, MIB } from '../../../src/core/bytes.ts'
import { guestProfile } from '../../../src/domains/guest-profiles.ts'
import { domainXml } from '../../../src/domains/domain-xml.ts'
import { parseAbilities } from '../../../src/domains/host-abilities.ts'
import { readHugepages, requireHugepages } from '../../../src/domains/hugepages.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { definition } from './definitions.ts'

describe('the hardware a guest gets', () => {
  const timers = (guestOs: string, type: 'kvm' | 'qemu') => {
    const clock = readXml(domainXml(definition({ guest: guestProfile(guestOs), type }))).first('clock')
    return { offset: clock?.attribute('offset'), names: clock?.all('timer').map((timer) => timer.attribute('name')) }
  }

  test.each([
    ['debian', 'kvm', 'utc', 'kvmclock'],
    ['freebsd', 'kvm', 'utc', 'kvmclock'],
    ['windows_server', 'kvm', 'localtime', 'hypervclock'],
    ['windows_server', 'qemu', 'localtime', undefined],
    ['debian', 'qemu', 'utc', undefined],
  ] as const)('%s on %s: clock %s, %s', (guestOs, type, offset, paravirtual) => {
    const basic = ['rtc', 'pit', 'hpet']
    expect(timers(guestOs, type)).toEqual({ offset, names: paravirtual ? [...basic, paravirtual] : basic })
  })

  test('what nobody knows is Linux, unless it calls itself a Windows', () => {
    expect(guestProfile('plan9')).toBe(guestProfile('generic_linux'))
    expect(guestProfile('')).toBe(guestProfile('rhel'))
    expect(guestProfile('windows_2042')).toBe(guestProfile('windows_server'))
  })

  test('a guest without hardware virtualisation has no panic device that needs it', () => {
    const panic = (guestOs: string, type: 'kvm' | 'qemu') =>
      readXml(domainXml(definition({ guest: guestProfile(guestOs), type })))
        .first('devices', 'panic')
        ?.attribute('model')
    expect([panic('debian', 'qemu'), panic('windows_server', 'kvm'), panic('windows_server', 'qemu')]).toEqual([
      'isa',
      'hyperv',
      undefined,
    ])
  })
})

describe('what libvirt says of a host', () => {
  const caps = (inner: string) => parseAbilities(`<domainCapabilities>${inner}</domainCapabilities>`)
  const list = (name: string, ...values: string[]) =>
    `<enum name='${name}'>${values.map((value) => `<value>${value}</value>`).join('')}</enum>`

  test('nothing is nothing', () => {
    expect(caps('')).toEqual({
      uefi: false,
      secureBoot: false,
      tpm2: false,
      spice: false,
      hostModel: false,
      cpuModels: [],
      hyperv: undefined,
    })
  })

  test('a TPM needs the emulator, in version 2.0 where versions are listed', () => {
    const tpm = (...parts: string[]) => caps(`<devices><tpm supported='yes'>${parts.join('')}</tpm></devices>`).tpm2
    expect(tpm(list('backendModel', 'passthrough'))).toBe(false)
    expect(tpm(list('backendModel', 'emulator'))).toBe(true)
    expect(tpm(list('backendModel', 'emulator'), list('backendVersion', '1.2'))).toBe(false)
    expect(tpm(list('backendModel', 'emulator'), list('backendVersion', '1.2', '2.0'))).toBe(true)
  })

  test('firmware that could be secure is of no use without a description that libvirt finds', () => {
    const os = (...firmware: string[]) =>
      caps(`<os>${list('firmware', ...firmware)}<loader supported='yes'>${list('secure', 'yes', 'no')}</loader></os>`)
    expect(os()).toMatchObject({ uefi: false, secureBoot: false })
    expect(os('bios', 'efi')).toMatchObject({ uefi: true, secureBoot: true })
  })
})

describe('huge pages', () => {
  test('are those of the default size', async () => {
    const proc = await mkdtemp(path.join(tmpdir(), 'lqx-proc-'))
    await writeFile(
      path.join(proc, 'meminfo'),
      'MemTotal: 1 kB\nHugePages_Total:     512\nHugePages_Free:      100\nHugepagesize:       2048 kB\nHugetlb: 0 kB\n',
    )
    const pages = await readHugepages(proc)
    await rm(proc, { recursive: true })
    expect(pages).toEqual({ pageBytes: 2 * MIB, total: 512, free: 100 })
    expect(() => {
      requireHugepages(pages, GIB, 'a')
    }).not.toThrow()
    expect(() => {
      requireHugepages(pages, GIB + 1, 'a')
    }).toThrow(expect.objectContaining({ reason: 'HOST_LACKS_FEATURE' }))
    expect(() => {
      requireHugepages(undefined, MIB, 'a')
    }).toThrow(/has none/)
  })
})
