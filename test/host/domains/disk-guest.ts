import { execFile } from 'node:child_process'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

// 16 bit code at 0x7c00; the cylinder it is at is kept at 0x600.
// prettier-ignore
const code = (operation: number, drive: number) => [
  0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, // ds = es = ss = 0; sp = 0x7c00
  0xc6, 0x06, 0x00, 0x06, 0x00, // cylinder 0
  0xfe, 0x06, 0x00, 0x06, // again: the next one, for a cluster of its own
  0xb8, 0x01, operation, 0xb9, 0x02, 0x00, 0x8a, 0x2e, 0x00, 0x06, // one sector
  0xb6, 0x00, 0xb2, drive, 0xbb, 0x00, 0x80, 0xcd, 0x13,
  0xb0, 0x2e, 0x73, 0x02, 0xb0, 0x45, // '.' when it was good, 'E' when it was not
  0xba, 0xf8, 0x03, 0xee, // out to COM1
  0xfb, 0xf4, 0xeb, 0xdb, // one tick of the timer, again
]

/**
 * A bootable qcow2 image of 64 MiB whose guest reads or writes all over its first or second disk, 18 times a second, and prints `.` or `E` each time.
 */
export async function makeDiskGuest(
  file: string,
  operation: 'read' | 'write',
  drive: 'first' | 'second',
): Promise<void> {
  const disk = Buffer.alloc(64 * 1024 * 1024)
  Buffer.from(code(operation === 'read' ? 2 : 3, drive === 'first' ? 0x80 : 0x81)).copy(disk)
  disk.writeUInt16LE(0xaa55, 510)
  await writeFile(`${file}.raw`, disk)
  await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', 'qcow2', `${file}.raw`, file])
  await rm(`${file}.raw`)
  await chmod(file, 0o644)
}
