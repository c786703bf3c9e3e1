import fc from 'fast-check'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseVolumeName, volumeFile, volumeNameOfPath, volumeRecordFile } from '../../../src/storage/volume-name.ts'

describe('volume names', () => {
  test.each([
    ['disk', 'disk.qcow2', 'disk.json'],
    ['vms/web-1_0a1b2c3d/disk-0', 'vms/web-1_0a1b2c3d/disk-0.qcow2', 'vms%2Fweb-1_0a1b2c3d%2Fdisk-0.json'],
    ['debian.12', 'debian.12.qcow2', 'debian.12.json'],
  ])('%s is the file %s with the record %s', (name, file, record) => {
    expect(volumeFile(name, 'qcow2').join('/')).toBe(file)
    expect(volumeRecordFile(name)).toBe(record)
  })

  test('the format is part of the file name', () => {
    expect(volumeFile('disk', 'raw')).toEqual(['disk.raw'])
  })

  test.each(['', 'a/..', '-rf', '.x', 'a b', 'a\0', 'a/b/c/d/e/f/g', 'x'.repeat(129), 'a.', 'a..b'])(
    '%j is refused',
    (name) => {
      expect(() => parseVolumeName(name)).toThrow(/is not allowed/)
    },
  )

  test.each([
    ['cloud-images/debian-12.qcow2', 'cloud-images/debian-12'],
    ['cloud-images/noble.img', 'cloud-images/noble'],
    ['a.raw', 'a'],
    ['cloud-images/debian-12', 'cloud-images/debian-12'],
    ['a.qcow2.raw', 'a.qcow2'],
    ['a.iso', 'a.iso'],
  ])('the image %s of a pool of volumes is volume %s', (path, name) => {
    expect(volumeNameOfPath(path)).toBe(name)
  })

  test.each(['', '.qcow2', 'cloud-images/.qcow2', '../a.qcow2', 'a b.img', 'a..qcow2'])(
    'the image %j stands for no volume',
    (path) => {
      expect(() => volumeNameOfPath(path)).toThrow(/is not allowed/)
    },
  )

  test('whatever is accepted stays inside the pool, under a record of its own that the file system can hold', () => {
    const records = new Map<string, string>()
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'B', '.', '-', '_', '/', ' ', '%', '2', 'F') }), (name) => {
        let file: readonly string[]
        try {
          file = volumeFile(name, 'qcow2')
        } catch {
          return
        }
        const resolved = path.resolve('/pool', ...file)
        expect(resolved.startsWith('/pool/')).toBe(true)
        expect(path.join('/pool', ...file)).toBe(resolved)
        const record = volumeRecordFile(name)
        expect(record).not.toContain('/')
        expect(record.length).toBeLessThanOrEqual(255)
        expect(records.get(record) ?? name).toBe(name)
        records.set(record, name)
      }),
    )
  })
})
