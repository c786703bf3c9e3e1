import { ImageRefusal, refuseIf } from './refusal.ts'

/** The largest descriptor that is read. */
export const MAX_DESCRIPTOR_BYTES = 64 * 1024

/** What `createType` may be, and the kind of the one extent it must have. */
const CREATE_TYPES = ['monolithicSparse', 'streamOptimized'] as const
const NO_PARENT = 'ffffffff'
const EXTENT = /^(RW|RDONLY|NOACCESS)\s+(\d{1,20})\s+([A-Z]+)(?:\s+"([^"]*)")?(?:\s+\d+)?$/

/**
 * Checks the text of an embedded descriptor for an extent of `capacity` sectors: one extent, which is the file itself, and no parent. Returns its createType. Throws ImageRefusal.
 */
export function checkDescriptor(text: string, capacity: bigint): (typeof CREATE_TYPES)[number] {
  refuseIf(!text.startsWith('# Disk DescriptorFile'), 'EXTENSION_INVALID', 'has no readable descriptor')
  // QEMU looks for the word anywhere.
  refuseIf(/parentFileNameHint/i.test(text), 'BACKING_FILE', 'refers to a parent disk')
  refuseIf(/encryption\./i.test(text), 'ENCRYPTED', 'is encrypted')
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const values = new Map<string, string>()
  const extents: string[] = []
  for (const line of lines) {
    const assignment = /^([A-Za-z][\w.]*)\s*=\s*"?([^"]*)"?$/.exec(line)
    if (assignment === null) extents.push(line)
    else setOnce(values, assignment[1] ?? '', assignment[2] ?? '')
  }
  refuseIf(values.get('parentCID')?.toLowerCase() !== NO_PARENT, 'BACKING_FILE', 'refers to a parent disk')
  checkExtents(extents, capacity)
  const createType = CREATE_TYPES.find((each) => each === values.get('createType'))
  if (createType !== undefined) return createType
  throw new ImageRefusal('UNSUPPORTED_VARIANT', 'is a VMDK of a kind that is not taken')
}

// What is told of the disk for other programs (ddb.*) means nothing here, and some write it twice.
function setOnce(values: Map<string, string>, key: string, value: string): void {
  if (key.startsWith('ddb.')) return
  refuseIf(values.has(key), 'EXTENSION_INVALID', 'has a descriptor that says one thing twice')
  values.set(key, value)
}

function checkExtents(lines: readonly string[], capacity: bigint): void {
  refuseIf(lines.length === 0, 'EXTENSION_INVALID', 'has a descriptor without an extent')
  refuseIf(lines.length > 1, 'EXTERNAL_EXTENT', 'consists of several extents')
  const extent = EXTENT.exec(lines[0] ?? '')
  if (extent === null) throw new ImageRefusal('EXTENSION_INVALID', 'has a malformed descriptor')
  const [, access, sectors, type, name = ''] = extent
  const itself = type === 'SPARSE' && !name.includes('/') && !name.includes('\\')
  refuseIf(!itself, 'EXTERNAL_EXTENT', 'has its data in another file or device')
  refuseIf(access === 'NOACCESS', 'EXTENSION_INVALID', 'has an extent without access')
  refuseIf(
    BigInt(sectors ?? 0) !== capacity,
    'VIRTUAL_SIZE_MISMATCH',
    'contradicts itself about its size: header and descriptor differ',
  )
}
