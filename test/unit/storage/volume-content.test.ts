import { describe, expect, test } from 'vitest'
import type { DiskFormat, DiskSource } from '../../../src/core/model.ts'
import { contentFrom, formatIn, type ContentOrigin } from '../../../src/storage/volume-content.ts'

const file: DiskSource = { type: 'file', path: '/pool/cloud-images/a.qcow2', format: 'qcow2' }
const device: DiskSource = { type: 'block', device: '/dev/vg/a', format: 'raw' }
const pool = (poolId: string, access: 'file' | 'block' | 'network') => ({
  config: { poolId, kind: 'NFS', options: {} } as const,
  traits: { shared: false, access, formats: ['raw'], isolation: 'common' } as const,
})
const mine = { poolId: 'mine', name: 'cloud-images/a' }
const other = { poolId: 'other', name: 'cloud-images/a' }

describe('where the content of a new disk comes from', () => {
  test.each<[string, ContentOrigin | undefined, 'file' | 'block' | 'network', DiskFormat, object]>([
    ['no image', undefined, 'network', 'raw', { type: 'empty' }],
    [
      'qcow2 in a file pool on a file',
      { source: file },
      'file',
      'qcow2',
      { type: 'overlay', path: '/pool/cloud-images/a.qcow2', format: 'qcow2' },
    ],
    ['raw in a file pool on a file', { source: file }, 'file', 'raw', { type: 'copy', source: file }],
    ['a file pool on a volume', { source: device, volume: other }, 'file', 'qcow2', { type: 'copy', source: device }],
    ['a block pool on a file', { source: file }, 'block', 'raw', { type: 'copy', source: file }],
    [
      'a block pool on its own volume',
      { source: device, volume: mine },
      'block',
      'raw',
      { type: 'clone', volume: 'cloud-images/a' },
    ],
    [
      'a network pool on its own volume',
      { source: device, volume: mine },
      'network',
      'raw',
      { type: 'clone', volume: 'cloud-images/a' },
    ],
    [
      'a block pool on the volume of another',
      { source: device, volume: other },
      'block',
      'raw',
      { type: 'copy', source: device },
    ],
  ])('%s', (_, origin, access, format, content) => {
    expect(contentFrom(origin, pool('mine', access), format)).toEqual(content)
  })
})

test('a pool gets the format it can make, whatever is asked for', () => {
  expect(formatIn({ formats: ['raw'] }, 'qcow2')).toBe('raw')
  expect(formatIn({ formats: ['qcow2', 'raw'] }, 'qcow2')).toBe('qcow2')
  expect(formatIn({ formats: ['qcow2', 'raw'] }, 'raw')).toBe('raw')
})
