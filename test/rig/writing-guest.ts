import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

// 16 bit code at 0x7c00. The sector it writes is at 0x8000 and begins with a counter; the disk's number is kept at 0x600.
// prettier-ignore
const CODE = [
  0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, // ds = es = ss = 0; sp = 0x7c00
  0x88, 0x16, 0x00, 0x06, // remember the disk
  0xff, 0x06, 0x00, 0x80, // again: one more
  0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xb6, 0x00, // write one sector, the second of the disk
  0x8a, 0x16, 0x00, 0x06, 0xbb, 0x00, 0x80, 0xcd, 0x13,
  0xb0, 0x2e, 0x73, 0x02, 0xb0, 0x45, // '.' when it was good, 'E' when it was not
  0xba, 0xf8, 0x03, 0xee, // out to COM1
  0xfb, 0xb9, 0x09, 0x00, 0xf4, 0xe2, 0xfd, // sti; nine ticks of the timer are half a second
  0xeb, 0xd8, // again
]

/** A bootable qcow2 image whose guest writes to its disk twice a second and prints `.` after each write that was good, `E` after one that was not. */
export async function writingGuest(): Promise<Buffer> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-writing-'))
  try {
    const disk = Buffer.alloc(1024 * 1024)
    Buffer.from(CODE).copy(disk)
    disk.writeUInt16LE(0xaa55, 510)
    const [raw, image] = [path.join(directory, 'raw'), path.join(directory, 'qcow2')]
    await writeFile(raw, disk)
    await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', 'qcow2', raw, image])
    return await readFile(image)
  } finally {
    await rm(directory, { recursive: true })
  }
}
