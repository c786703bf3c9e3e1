import { describe, expect, it } from 'vitest'
import { mapOf, parseRows, textOf } from '../../../src/network/ovsdb-rows.ts'

const TABLE = {
  headings: ['_uuid', 'name', 'external_ids', 'ofport', 'error', 'tags'],
  data: [
    [
      ['uuid', 'u-1'],
      'vnet0',
      [
        'map',
        [
          ['iface-id', 'a "b"'],
          ['n', 5],
        ],
      ],
      -1,
      ['set', []],
      ['set', [['uuid', 'u-2'], 7]],
    ],
  ],
}

describe('rows of the Open vSwitch database', () => {
  it('have texts, numbers, sets, maps and UUIDs by column', () => {
    const [row = {}] = parseRows(JSON.stringify(TABLE))
    expect(row).toEqual({
      _uuid: 'u-1',
      name: 'vnet0',
      external_ids: { 'iface-id': 'a "b"', n: 5 },
      ofport: -1,
      error: [],
      tags: ['u-2', 7],
    })
    expect(Object.fromEntries(mapOf(row, 'external_ids'))).toEqual({ 'iface-id': 'a "b"', n: '5' })
    expect([textOf(row, 'error'), textOf(row, 'name'), mapOf(row, 'error').size]).toEqual(['', 'vnet0', 0])
  })

  it.each(['', '[]', '{"headings":["a"],"data":[[["row",1]]]}', '{"headings":["a"],"data":[1]}'])(
    'are not in %j',
    (text) => {
      expect(() => parseRows(text)).toThrow()
    },
  )
})
