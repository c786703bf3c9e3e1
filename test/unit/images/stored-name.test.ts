import { describe, expect, it } from 'vitest'
import { storedFormat } from '../../../src/images/convert/stored-format.ts'
import { storedName } from '../../../src/images/stored-name.ts'

describe('the name of what is stored', () => {
  it.each([
    ['debian-12.qcow2', 'debian-12.qcow2'],
    ['noble-server-cloudimg-amd64.img', 'noble-server-cloudimg-amd64.img'],
    ['disk.raw.xz', 'disk.raw'],
    ['disk.qcow2.ZST', 'disk.qcow2'],
    ['disk.raw.tar.gz', 'disk.raw'],
    ['image.tar.gz', 'image.img'],
    ['image.tgz', 'image.img'],
    ['appliance.ova', 'appliance.qcow2'],
    ['disk.vmdk', 'disk.qcow2'],
    ['Windows.vhdx.zip', 'Windows.qcow2'],
    ['installer.iso', 'installer.iso'],
    ['no-ending', 'no-ending'],
  ])('of %s is %s', (published, stored) => {
    expect(storedName(published)).toBe(stored)
  })
})

describe('the format of what is stored', () => {
  const as = { fileName: 'x.qcow2' }
  it.each([
    ['qcow2', as, undefined],
    ['raw', as, undefined],
    ['vmdk', as, 'qcow2'],
    ['vhdx', { ...as, volume: 'v' }, 'raw'],
    ['qcow2', { ...as, volume: 'v' }, undefined],
    ['qcow2', { ...as, compress: true }, 'qcow2'],
    ['raw', { ...as, compress: true }, 'qcow2'],
    ['raw', { ...as, format: 'qcow2' }, 'qcow2'],
    ['qcow2', { ...as, format: 'raw' }, 'raw'],
    ['iso', { fileName: 'x.ISO' }, undefined],
  ] as const)('of %s (%o) is converted to %s', (format, stored, to) => {
    expect(storedFormat(format, stored)).toBe(to)
  })
  it('refuses an ISO under the name of a disk', () => {
    expect(() => storedFormat('iso', as)).toThrow(/ISO image/)
    expect(() => storedFormat('iso', { fileName: 'x.iso', volume: 'v' })).toThrow(/ISO image/)
  })
})
