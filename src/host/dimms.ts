import { readFile } from 'node:fs/promises'
import path from 'node:path'

/** Memory modules that are plugged in, and whether the memory corrects errors. */
export interface DimmFacts {
  readonly dimmCount: number
  readonly eccEnabled: boolean
}

// SMBIOS reference specification (DSP0134), 7.17 and 7.18.
const PHYSICAL_MEMORY_ARRAY = 16
const MEMORY_DEVICE = 17
const END_OF_TABLE = 127
const USE_SYSTEM_MEMORY = 3
const SINGLE_BIT_ECC = 5
const MULTI_BIT_ECC = 6
const SIZE_UNKNOWN = 0xffff

/** Reads the firmware's own table from the kernel, as dmidecode does; zeros where there is none (containers, some arm64 boards). */
export async function readDimms(sys: string): Promise<DimmFacts> {
  const table = await readFile(path.join(sys, 'firmware/dmi/tables/DMI')).catch(() => Buffer.alloc(0))
  return parseDimms(table)
}

/** Counts memory devices of a SMBIOS structure table that have a size. A table that is cut off tells what it has. */
export function parseDimms(table: Buffer): DimmFacts {
  let dimmCount = 0
  let eccEnabled = false
  for (const { type, data } of structures(table)) {
    if (type === MEMORY_DEVICE && data.length >= 0x0e) {
      const size = data.readUInt16LE(0x0c)
      if (size !== 0 && size !== SIZE_UNKNOWN) dimmCount++
    }
    if (type === PHYSICAL_MEMORY_ARRAY && data.length >= 0x07 && data[0x05] === USE_SYSTEM_MEMORY) {
      eccEnabled ||= data[0x06] === SINGLE_BIT_ECC || data[0x06] === MULTI_BIT_ECC
    }
  }
  return { dimmCount, eccEnabled }
}

// Each structure: a formatted part with its own length, then strings up to two zero bytes.
function* structures(table: Buffer): Generator<{ type: number; data: Buffer }> {
  let at = 0
  while (at + 4 <= table.length) {
    const type = table[at] ?? END_OF_TABLE
    const length = table[at + 1] ?? 0
    if (type === END_OF_TABLE || length < 4 || at + length > table.length) return
    yield { type, data: table.subarray(at, at + length) }
    const end = table.indexOf('\0\0', at + length, 'latin1')
    if (end < 0) return
    at = end + 2
  }
}
