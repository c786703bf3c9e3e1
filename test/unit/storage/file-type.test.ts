import { expect, test } from 'vitest'
import { fileTypeOf } from '../../../src/storage/worker/file-type.ts'

const bytes = (marks: Record<number, string>, length = 40_000) => {
  const head = Buffer.alloc(length)
  for (const [at, text] of Object.entries(marks)) head.write(text, Number(at), 'latin1')
  return head
}
const BOOT_SECTOR = { 510: '\x55\xaa' }

test.each([
  ['disk.img', { 0: 'QFI\xfb' }, 'qcow2'],
  ['disk', { 0: 'QFI\xfb' }, 'qcow2'],
  ['notes.txt', { 0: 'KDMV' }, 'vmdk'],
  ['x.raw', { 0: 'vhdxfile' }, 'vhdx'],
  ['x.raw', { 0: 'conectix' }, 'vhd'],
  ['x.raw', { 64: '\x7f\x10\xda\xbe' }, 'vdi'],
  ['x.bin', { 32_769: 'CD001' }, 'iso'],
  // A hybrid ISO has a boot sector too.
  ['x.iso', { ...BOOT_SECTOR, 32_769: 'CD001' }, 'iso'],
  ['x.qcow2', BOOT_SECTOR, 'raw'],
  ['x', BOOT_SECTOR, 'raw'],
  ['x.img', {}, 'raw'],
  ['x.raw', {}, 'raw'],
  // Two bytes in the right place make no disk of a file that does not claim to be one.
  ['x.pdf', BOOT_SECTOR, 'pdf'],
  ['x.TXT', { 0: 'hello' }, 'txt'],
  ['x.qcow2', { 0: '<!DOCTYPE html>' }, 'qcow2'],
  ['README', { 0: 'hello' }, ''],
  ['.hidden', {}, ''],
])('%s with %o is %j', (name, marks, type) => {
  expect(fileTypeOf(name, bytes(marks))).toBe(type)
})
