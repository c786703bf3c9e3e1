import { MAX_VIRTUAL_SIZE_BYTES } from './format.ts'
import { ImageRefusal, refuseIf } from './refusal.ts'
import type { ParserSteps, Placed } from './steps.ts'
import { guid } from './vhdx-regions.ts'

const KIB = 1024
const MIB = 1024 * KIB
const TABLE_BYTES = 64 * KIB
const MAX_ENTRIES = 2047
const ENTRY_BYTES = 32
const FLAG = { user: 1, required: 4 } as const
const PARAMETER = { leaveAllocated: 1, hasParent: 2 } as const
const ITEM = {
  parameters: guid('caa16737-fa36-4d43-b3b6-33f0aa44e76b'),
  size: guid('2fa54224-cd1b-4876-b211-5dbed83bf4b8'),
  logicalSector: guid('8141bf1d-a96f-4709-ba47-f233a8faab5f'),
  physicalSector: guid('cda348c7-445d-4471-9cc9-e9885251c556'),
  page83: guid('beca12ab-b2e6-4523-93ef-c309e000c746'),
  parentLocator: guid('a8d35f2d-b30b-454d-abf7-d3d84834ab0c'),
} as const
const ITEM_BYTES = { parameters: 8, size: 8, logicalSector: 4 } as const

/** What the metadata region says of the disk. */
export interface VhdxDisk {
  readonly virtualSizeBytes: number
  readonly blockBytes: number
  readonly sectorBytes: number
  /** All blocks were allocated at the beginning. */
  readonly fixed: boolean
}

/** Reads the metadata region. Throws ImageRefusal, also for items it does not know and would have to, and for a parent. */
export function* readDisk(region: Placed): ParserSteps<VhdxDisk> {
  const table = yield { offset: region.offset, length: TABLE_BYTES }
  const items = readTable(table, region.length)
  const parameters = yield* readItem('parameters', items, region)
  const [blockBytes, flags] = [parameters.readUInt32LE(0), parameters.readUInt32LE(4)]
  refuseIf((flags & PARAMETER.hasParent) !== 0, 'BACKING_FILE', 'needs a parent disk')
  refuseIf((flags & ~3) !== 0, 'UNKNOWN_FEATURE', `needs unknown features (0x${flags.toString(16)})`)
  const powerOfTwo = (blockBytes & (blockBytes - 1)) === 0
  const sane = powerOfTwo && blockBytes >= MIB && blockBytes <= 256 * MIB
  refuseIf(!sane, 'CLUSTER_SIZE', `has blocks of ${blockBytes} bytes`)
  const sectorBytes = (yield* readItem('logicalSector', items, region)).readUInt32LE(0)
  refuseIf(sectorBytes !== 512, 'UNSUPPORTED_VARIANT', `has sectors of ${sectorBytes} bytes, not 512`)
  const size = (yield* readItem('size', items, region)).readBigUInt64LE(0)
  refuseIf(
    size === 0n || size > BigInt(MAX_VIRTUAL_SIZE_BYTES),
    'VIRTUAL_SIZE_ABSURD',
    `claims an absurd virtual size of ${size} bytes`,
  )
  refuseIf(size % BigInt(sectorBytes) !== 0n, 'ODD_SIZE', 'has a virtual size in the middle of a sector')
  const fixed = (flags & PARAMETER.leaveAllocated) !== 0
  return { virtualSizeBytes: Number(size), blockBytes, sectorBytes, fixed }
}

function readTable(table: Buffer, regionBytes: number): Map<string, Buffer> {
  refuseIf(table.toString('latin1', 0, 8) !== 'metadata', 'HEADER_INVALID', 'has no metadata table')
  const count = table.readUInt16LE(10)
  refuseIf(count > MAX_ENTRIES, 'TABLE_TOO_LARGE', 'has too large a metadata table')
  const items = new Map<string, Buffer>()
  for (let index = 0; index < count; index++) {
    const entry = table.subarray(ENTRY_BYTES * (index + 1), ENTRY_BYTES * (index + 2))
    const id = entry.toString('hex', 0, 16)
    const [offset, length, flags] = [entry.readUInt32LE(16), entry.readUInt32LE(20), entry.readUInt32LE(24)]
    refuseIf(id === ITEM.parentLocator, 'BACKING_FILE', 'names a parent disk')
    const known = Object.values<string>(ITEM).includes(id)
    const foreign = !known && (flags & FLAG.user) === 0 && (flags & FLAG.required) !== 0
    refuseIf(foreign, 'UNKNOWN_FEATURE', 'needs metadata that the agent does not know')
    refuseIf(length > 0 && offset < TABLE_BYTES, 'TABLE_OVERLAP', 'has metadata inside the metadata table')
    refuseIf(offset + length > regionBytes, 'EXTENSION_INVALID', 'has metadata outside the metadata region')
    refuseIf(known && items.has(id), 'HEADER_INVALID', 'has one metadata item twice')
    items.set(id, entry)
  }
  return items
}

function* readItem(
  name: keyof typeof ITEM_BYTES,
  items: ReadonlyMap<string, Buffer>,
  region: Placed,
): ParserSteps<Buffer> {
  const entry = items.get(ITEM[name])
  if (entry === undefined) throw new ImageRefusal('TABLE_MISSING', `lacks its ${name} metadata`)
  const length = ITEM_BYTES[name]
  refuseIf(entry.readUInt32LE(20) !== length, 'EXTENSION_INVALID', `has a malformed ${name} metadata item`)
  return yield { offset: region.offset + entry.readUInt32LE(16), length }
}
