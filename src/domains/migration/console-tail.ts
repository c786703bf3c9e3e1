import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { OpContext } from '../../core/context.ts'
import { MIB } from '../../core/bytes.ts'
import { errorText } from '../../core/errors.ts'
import { delay } from '../../platform/clock.ts'
import { CONSOLE_LOG } from '../names.ts'

/** How much of a console log was sent when a migration began. */
export interface ConsoleMark {
  /** virtlogd begins a new file when one is full. */
  readonly inode: number
  readonly size: number
}

/** Of what a guest prints on its way; when it is more its end is kept, after a line that says so. */
const MAX_BYTES = MIB
const LOOK_MS = 20
/** That many looks in a row find no more in it. */
const STILL_LOOKS = 5
const LOOKS = 25
const SETTLE_MS = 5_000
const compress = promisify(gzip)
const decompress = promisify(gunzip)

/**
 * What the guest has printed at the source since the mark, gzip and base64; undefined when that is nothing. To be read when the guest stands still for the switch: virtlogd, which has it from QEMU through a pipe, is
 * given a moment to write. Never throws: a log is no reason for a guest to stand still.
 */
export async function readConsoleTail(
  directory: string,
  mark: ConsoleMark,
  { log }: Pick<OpContext, 'log'>,
): Promise<string | undefined> {
  const file = path.join(directory, CONSOLE_LOG)
  try {
    await standsStill(file)
    const isSame = (await stat(file)).ino === mark.inode
    const parts = isSame
      ? [await readFrom(file, mark.size)]
      : [await readFrom(`${file}.0`, mark.size, mark.inode), await readFrom(file, 0)]
    const tail = Buffer.concat(parts.map(({ bytes }) => bytes))
    if (tail.length === 0) return undefined
    const kept = tail.subarray(Math.max(0, tail.length - MAX_BYTES))
    const dropped = parts.reduce((sum, { skipped }) => sum + skipped, tail.length - kept.length)
    const told =
      dropped === 0 ? '' : `\r\n[${dropped} bytes that the guest printed during its migration are not kept]\r\n`
    return (await compress(Buffer.concat([Buffer.from(told), kept]))).toString('base64')
  } catch (error) {
    log.warn({ file, err: errorText(error) }, 'what a guest printed during its migration stays out of its console log')
    return undefined
  }
}

/** Appends such a tail to the log at the target, before the guest prints there: virtlogd has the file open for appending too. Never throws. */
export async function appendConsoleTail(
  directory: string,
  tail: string,
  { log }: Pick<OpContext, 'log'>,
): Promise<void> {
  const file = path.join(directory, CONSOLE_LOG)
  try {
    const bytes = await decompress(Buffer.from(tail, 'base64'), { maxOutputLength: 2 * MAX_BYTES })
    const handle = await open(file, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW)
    try {
      await handle.appendFile(bytes)
    } finally {
      await handle.close()
    }
  } catch (error) {
    log.warn({ file, err: errorText(error) }, 'what a guest printed during its migration stays out of its console log')
  }
}

async function standsStill(file: string): Promise<void> {
  let before = (await stat(file)).size
  const deadline = AbortSignal.timeout(SETTLE_MS)
  for (let look = 0, still = 0; look < LOOKS && still < STILL_LOOKS; look++) {
    await delay(LOOK_MS, deadline)
    const { size } = await stat(file)
    still = size === before ? still + 1 : 0
    before = size
  }
}

interface Part {
  readonly bytes: Buffer
  /** Bytes before these that are too many. */
  readonly skipped: number
}

// Of a file that virtlogd has put aside only when it is the one that was begun with.
async function readFrom(file: string, offset: number, inode?: number): Promise<Part> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { ino, size } = await handle.stat()
    if (inode !== undefined && ino !== inode) return { bytes: Buffer.alloc(0), skipped: 0 }
    const from = Math.max(offset, size - MAX_BYTES)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.max(0, size - from)), 0, undefined, from)
    return { bytes: buffer.subarray(0, bytesRead), skipped: from - offset }
  } finally {
    await handle.close()
  }
}
