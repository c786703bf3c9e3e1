import { describe, expect, test } from 'vitest'
import { keptDefinition } from '../../../src/domains/kept-by-libvirt.ts'
import { readXml } from '../../../src/domains/read-xml.ts'

const NVRAM = '/var/lib/libvirt/qemu/nvram/web_VARS.fd'
const domain = ({ nvram = NVRAM, tpm = '<tpm model="tpm-crb"><backend type="emulator" version="2.0"/></tpm>' }) =>
  `<domain type="kvm"><name>web</name><uuid>7aa35a50-08c4-4ee3-9c0b-2f6d3a7e5b11</uuid><memory>4096</memory>
  <os firmware="efi"><type arch="x86_64" machine="pc-q35-7.2">hvm</type>
  <loader readonly="yes" type="pflash" secure="yes">/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>
  ${nvram === '' ? '' : `<nvram template="/usr/share/OVMF/OVMF_VARS_4M.ms.fd">${nvram}</nvram>`}</os>
  <devices><disk type="file"/><graphics type="vnc" passwd="secret"/>${tpm}</devices></domain>`

describe('what libvirt keeps of a VM by itself', () => {
  test('its variables and its TPM, and nothing else of it', () => {
    const definition = keptDefinition(domain({})) ?? ''
    const kept = readXml(definition)
    expect(kept.first('os', 'nvram')?.text).toBe(NVRAM)
    expect(kept.first('os', 'loader')?.attribute('secure')).toBeUndefined()
    expect(kept.first('devices')?.children.map(({ name }) => name)).toEqual(['tpm'])
    expect(definition).not.toContain('secret')
  })

  test.each([
    ['of another VM', '/var/lib/libvirt/qemu/nvram/other_VARS.fd'],
    ['of a VM with a longer name', '/var/lib/libvirt/qemu/nvram/web2_VARS.fd'],
    ['elsewhere', '/etc/web_VARS.fd'],
    ['on the way elsewhere', '/var/lib/libvirt/qemu/nvram/../web_VARS.fd'],
  ])('a file %s is none of its own', (_, nvram) => {
    expect(readXml(keptDefinition(domain({ nvram })) ?? '').first('os', 'nvram')).toBeUndefined()
    expect(keptDefinition(domain({ nvram, tpm: '' }))).toBeUndefined()
  })

  test('nothing, of a VM with neither', () => {
    expect(keptDefinition(domain({ nvram: '', tpm: '' }))).toBeUndefined()
  })
})
