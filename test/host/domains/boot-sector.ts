import { execFile } from 'node:child_process'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What a guest without an operating system does when the power button is pressed. */
export type Manners = 'obeys' | 'ignores'

const MESSAGE = Buffer.from('BOOTED\r\n\0')

// 16 bit code at 0x7c00: prints the message that follows the code on COM1, then the main loop.
function printer(codeLength: number): number[] {
  const message = 0x7c00 + 19 + codeLength
  // prettier-ignore
  return [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, // cli; ds = 0
    0xbe, message & 0xff, message >> 8, // si = message
    0xac, 0x84, 0xc0, 0x74, 0x06, // next character, until 0
    0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, // out to COM1
  ]
}

// prettier-ignore
const MAIN: Readonly<Record<Manners, readonly number[]>> = {
  ignores: [0xfb, 0xf4, 0xeb, 0xfc], // sti; hlt; again
  obeys: [
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // power button enabled in PM1
    0xfb, 0xf4, // sti; hlt: the timer of the BIOS wakes it 18 times a second
    0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf5, // power button in PM1 status?
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xec, // then S5 by PM1 control
  ],
}

/** A bootable qcow2 image of 1 MiB at `file`, readable for QEMU. */
export async function makeBootImage(file: string, manners: Manners): Promise<void> {
  const main = MAIN[manners]
  const code = Buffer.concat([Buffer.from([...printer(main.length), ...main]), MESSAGE])
  const disk = Buffer.alloc(1024 * 1024)
  code.copy(disk)
  disk.writeUInt16LE(0xaa55, 510)
  const raw = `${file}.raw`
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(raw, disk)
  await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', 'qcow2', raw, file])
  await rm(raw)
  await chmod(file, 0o644)
}
