import { describe, expect, test } from 'vitest'
import { deviceName, devicePlace } from '../../../src/domains/device-place.ts'

describe('one name per logical volume', () => {
  test.each([
    ['/dev/mapper/vg-lv', '/dev/vg/lv'],
    ['/dev/mapper/my--vg-my--lv--1', '/dev/my-vg/my-lv-1'],
    ['/dev/mapper/a---lv', '/dev/a-/lv'],
    ['/dev/vg/lv', '/dev/vg/lv'],
    // Not the volume but a part that LVM keeps below it.
    ['/dev/mapper/vg-lv-real', '/dev/mapper/vg-lv-real'],
    ['/dev/mapper/control', '/dev/mapper/control'],
    ['/dev/sda', '/dev/sda'],
    ['rbd:pool/a-b', 'rbd:pool/a-b'],
    ['', ''],
  ])('%s is %s', (path, name) => {
    expect(deviceName(path)).toBe(name)
  })

  test('a link to a device is the device; what is not there, and what is no device, keeps its name', async () => {
    expect(await devicePlace('/dev/fd')).toMatch(/^\/proc\/.*\/fd$/)
    expect(await devicePlace('/dev/mapper/gone--vg-lv')).toBe('/dev/gone-vg/lv')
    expect(await devicePlace('/pool/x-y')).toBe('/pool/x-y')
    expect(await devicePlace('rbd:pool/image')).toBe('rbd:pool/image')
  })
})
