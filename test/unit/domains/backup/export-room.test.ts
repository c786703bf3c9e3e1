import { expect, test } from 'vitest'
import { GIB, MIB } from '../../../../src/core/bytes.ts'
import { roomOf } from '../../../../src/domains/backup/export-room.ts'

const room = (...sizes: number[]) =>
  roomOf({
    disks: sizes.map((sizeBytes) => {
      return { diskId: '', targetDev: '', exportName: '', bitmap: '', scratch: '', sizeBytes }
    }),
  })

test('an export needs room for as much as its guest can overwrite, and of large disks for so much that it can be ended in time', () => {
  expect(room(8 * MIB, 8 * MIB)).toEqual({ begin: 16 * MIB, goOn: 2 * MIB })
  expect(room(GIB, GIB)).toEqual({ begin: GIB, goOn: 256 * MIB })
  expect(room(2048 * GIB)).toEqual({ begin: GIB, goOn: 256 * MIB })
  expect(room()).toEqual({ begin: 0, goOn: 0 })
})
