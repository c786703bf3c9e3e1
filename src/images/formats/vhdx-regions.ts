import { crc32c } from './crc32c.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import { bytesAt, placeInFile, type ParserSteps, type Placed } from './steps.ts'

const KIB = 1024
const MIB = 1024 * KIB
const TABLES = [192 * KIB, 256 * KIB] as const
const TABLE_BYTES = 64 * KIB
const MAX_ENTRIES = 2047
const ENTRY_BYTES = 32
const GUID = {
  bat: guid('2dc27766-f623-4200-9d64-115e9bfd4a08'),
  metadata: guid('8b7ca206-4790-4b9a-b8fe-575f050f886e'),
} as const

/** A GUID as Microsoft writes it to disk: three little-endian numbers, then bytes in order. In hex. */
export function guid(text: string): string {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes.toString('hex')
}

/** The two regions that make a VHDX, from the first undamaged copy of its region table. Throws ImageRefusal, also for regions it does not know and would have to. */
export function* readRegions(fileSizeBytes: number): ParserSteps<{ bat: Placed; metadata: Placed }> {
  const table = yield* readTable(fileSizeBytes)
  const count = table.readUInt32LE(8)
  refuseIf(count > MAX_ENTRIES, 'TABLE_TOO_LARGE', 'has too large a region table')
  const found = new Map<string, Placed>()
  for (let index = 0; index < count; index++) {
    const entry = table.subarray(16 + index * ENTRY_BYTES, 16 + (index + 1) * ENTRY_BYTES)
    const id = entry.toString('hex', 0, 16)
    const name = Object.entries(GUID).find(([, known]) => known === id)?.[0]
    const required = (entry.readUInt32LE(28) & 1) !== 0
    refuseIf(name === undefined && required, 'UNKNOWN_FEATURE', 'needs a region that the agent does not know')
    if (name === undefined) continue
    refuseIf(found.has(name), 'HEADER_INVALID', `has two ${name} regions`)
    found.set(name, placeRegion(entry, `${name} region`, fileSizeBytes))
  }
  const [bat, metadata] = [found.get('bat'), found.get('metadata')]
  if (bat === undefined || metadata === undefined)
    throw new ImageRefusal('TABLE_MISSING', 'lacks a region that it must have')
  return { bat, metadata }
}

function* readTable(fileSizeBytes: number): ParserSteps<Buffer> {
  for (const offset of TABLES) {
    const table = yield* bytesAt(offset, TABLE_BYTES, 'region tables', fileSizeBytes)
    if (table.toString('latin1', 0, 4) === 'regi' && crc32c(table, 4) === table.readUInt32LE(4)) return table
  }
  throw new ImageRefusal('CHECKSUM_WRONG', 'has no undamaged region table')
}

function placeRegion(entry: Buffer, name: string, fileSizeBytes: number): Placed {
  const [offset, length] = [entry.readBigUInt64LE(16), entry.readUInt32LE(24)]
  const misplaced = offset < BigInt(MIB) || offset % BigInt(MIB) !== 0n
  refuseIf(misplaced, 'TABLE_MISPLACED', `has a misplaced ${name}`)
  refuseIf(length === 0 || length % MIB !== 0, 'HEADER_INVALID', `has a ${name} of impossible length`)
  return placeInFile(name, offset, length, fileSizeBytes)
}
