import { MAX_VIRTUAL_SIZE_BYTES, type ImageFormat, type ParsedImage } from './format.ts'
import { refuseIf } from './refusal.ts'
import type { ParserSteps } from './steps.ts'

const SECTOR = 512

/** A raw disk: bytes as the guest sees them, known by a partition table (MBR, GPT) or a file system on the whole disk. */
export const raw: ImageFormat = {
  name: 'raw',
  title: 'a raw disk',
  driver: 'raw',
  marks: [
    { offset: 510, bytes: '\x55\xaa' },
    { offset: 512, bytes: 'EFI PART' },
    { offset: 4096, bytes: 'EFI PART' },
    { offset: 0, bytes: 'XFSB' },
    { offset: 0, bytes: 'hsqs' },
    { offset: 0x438, bytes: '\x53\xef' },
    { offset: 512, bytes: 'LABELONE' },
    { offset: 0x10040, bytes: '_BHRfS_M' },
  ],
  tailMarks: [],
  carries: [],
  weak: true,
  checkable: false,
  parse,
}

function* parse(fileSizeBytes: number): ParserSteps<ParsedImage> {
  refuseIf(fileSizeBytes % SECTOR !== 0, 'ODD_SIZE', 'is a raw disk whose size is no multiple of 512: it is incomplete')
  refuseIf(
    fileSizeBytes === 0 || fileSizeBytes > MAX_VIRTUAL_SIZE_BYTES,
    'VIRTUAL_SIZE_ABSURD',
    `has an absurd size of ${fileSizeBytes} bytes`,
  )
  const diskBytes = yield* gptDiskBytes(fileSizeBytes)
  refuseIf(
    diskBytes > fileSizeBytes,
    'TRUNCATED',
    `is incomplete: its partition table is for ${diskBytes} bytes, the file has only ${fileSizeBytes}`,
  )
  return { virtualSizeBytes: fileSizeBytes, variant: diskBytes > 0 ? 'GPT' : '' }
}

/** The GPT says where its second copy is: the last sector of the disk. 0 when there is no GPT with sectors of 512 bytes. */
export function* gptDiskBytes(fileSizeBytes: number): ParserSteps<number> {
  if (fileSizeBytes < 2 * SECTOR) return 0
  const gpt = yield { offset: SECTOR, length: SECTOR }
  if (gpt.toString('latin1', 0, 8) !== 'EFI PART') return 0
  const alternate = gpt.readBigUInt64LE(32)
  return alternate >= 2n ** 44n ? Number.MAX_SAFE_INTEGER : (Number(alternate) + 1) * SECTOR
}
