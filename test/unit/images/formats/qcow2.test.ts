import { describe, expect, it } from 'vitest'
import { parseHead } from '../../../../src/images/formats/drive.ts'
import { qcow2 } from '../../../../src/images/formats/qcow2.ts'
import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'
import { judgeImageHead } from '../../../../src/images/image-header.ts'

const CLUSTER = 65_536
const FILE_BYTES = 4 * CLUSTER

/** A sane, empty qcow2 v3 of 1 GiB as qemu-img lays it out, with fields changed. */
function image(change: (head: Buffer) => void = () => undefined): Buffer {
  const head = Buffer.alloc(FILE_BYTES)
  head.write('QFI\xfb', 0, 'latin1')
  head.writeUInt32BE(3, 4)
  head.writeUInt32BE(16, 20)
  head.writeBigUInt64BE(2n ** 30n, 24)
  head.writeUInt32BE(2, 36)
  head.writeBigUInt64BE(BigInt(3 * CLUSTER), 40)
  head.writeBigUInt64BE(BigInt(CLUSTER), 48)
  head.writeUInt32BE(1, 56)
  head.writeUInt32BE(4, 96)
  head.writeUInt32BE(112, 100)
  change(head)
  return head
}

const parse = (bytes: Buffer) => parseHead(qcow2.parse(bytes.length), bytes)

describe('qcow2', () => {
  it('reads version 3 and version 2', () => {
    expect(parse(image())).toEqual({ virtualSizeBytes: 2 ** 30, variant: 'v3, zlib' })
    expect(parse(image((h) => void h.writeUInt32BE(2, 4)))?.variant).toBe('v2, zlib')
  })

  it('reads zstd compression', () => {
    const zstd = image((h) => {
      h.writeBigUInt64BE(8n, 72)
      h.writeUInt8(1, 104)
    })
    expect(parse(zstd)?.variant).toBe('v3, zstd')
  })

  it('takes internal snapshots whose tables are in the file, and no others', () => {
    const snapshot = (l1: number) =>
      image((h) => {
        h.writeUInt32BE(1, 60)
        h.writeBigUInt64BE(BigInt(2 * CLUSTER), 64)
        h.writeBigUInt64BE(BigInt(l1), 2 * CLUSTER)
        h.writeUInt32BE(2, 2 * CLUSTER + 8)
      })
    expect(() => parse(snapshot(4 * CLUSTER))).toThrow(/ends before its cluster table of a snapshot/)
    const good = Buffer.concat([snapshot(4 * CLUSTER), Buffer.alloc(CLUSTER)])
    expect(parse(good)?.virtualSizeBytes).toBe(2 ** 30)
  })

  const refused: [name: string, change: (head: Buffer) => void, text: RegExp, code: RefusalCode][] = [
    ['version 1', (h) => h.writeUInt32BE(1, 4), /version 1/, 'UNSUPPORTED_VERSION'],
    ['version 4', (h) => h.writeUInt32BE(4, 4), /version 4/, 'UNSUPPORTED_VERSION'],
    ['a backing file', (h) => h.writeBigUInt64BE(200n, 8), /backing file/, 'BACKING_FILE'],
    ['a backing file length without an offset', (h) => h.writeUInt32BE(5, 16), /backing file/, 'BACKING_FILE'],
    ['a cluster size of 2^8', (h) => h.writeUInt32BE(8, 20), /cluster size/, 'CLUSTER_SIZE'],
    ['a cluster size of 2^22', (h) => h.writeUInt32BE(22, 20), /cluster size/, 'CLUSTER_SIZE'],
    ['AES encryption', (h) => h.writeUInt32BE(1, 32), /encrypted/, 'ENCRYPTED'],
    ['a data file bit', (h) => h.writeBigUInt64BE(4n, 72), /another file/, 'DATA_FILE'],
    ['a corrupt bit', (h) => h.writeBigUInt64BE(2n, 72), /corrupt/, 'CORRUPT'],
    ['a dirty bit', (h) => h.writeBigUInt64BE(1n, 72), /closed cleanly/, 'UNCLEAN'],
    [
      'an unknown feature',
      (h) => h.writeBigUInt64BE(1n << 40n, 72),
      /unknown features \(0x10000000000\)/,
      'UNKNOWN_FEATURE',
    ],
    ['an unknown compression', (h) => h.writeUInt8(2, 104), /compression type 2/, 'UNKNOWN_FEATURE'],
    ['compression without its bit', (h) => h.writeUInt8(1, 104), /contradicts/, 'HEADER_INVALID'],
    ['a header length of 100', (h) => h.writeUInt32BE(100, 100), /impossible length/, 'HEADER_INVALID'],
    ['a refcount width of 2^7', (h) => h.writeUInt32BE(7, 96), /reference count width/, 'HEADER_INVALID'],
    ['a virtual size of 0', (h) => h.writeBigUInt64BE(0n, 24), /virtual size of 0/, 'VIRTUAL_SIZE_ABSURD'],
    ['a virtual size of 8 EiB', (h) => h.writeBigUInt64BE(2n ** 63n, 24), /absurd/, 'VIRTUAL_SIZE_ABSURD'],
    ['too small a cluster table', (h) => h.writeUInt32BE(1, 36), /too small a cluster table/, 'VIRTUAL_SIZE_MISMATCH'],
    ['a huge cluster table', (h) => h.writeUInt32BE(0xffffffff, 36), /too large a cluster table/, 'TABLE_TOO_LARGE'],
    [
      'a cluster table past the end',
      (h) => h.writeBigUInt64BE(BigInt(4 * CLUSTER), 40),
      /ends before its cluster table/,
      'TABLE_OUTSIDE_FILE',
    ],
    ['a misplaced cluster table', (h) => h.writeBigUInt64BE(BigInt(CLUSTER + 8), 40), /misplaced/, 'TABLE_MISPLACED'],
    [
      'a cluster table at 2^64',
      (h) => h.writeBigUInt64BE(2n ** 64n - BigInt(CLUSTER), 40),
      /ends before/,
      'TABLE_OUTSIDE_FILE',
    ],
    ['no reference counts', (h) => h.writeUInt32BE(0, 56), /no reference counts/, 'TABLE_MISSING'],
    ['a huge refcount table', (h) => h.writeUInt32BE(1 << 20, 56), /reference count table/, 'TABLE_TOO_LARGE'],
    ['too many snapshots', (h) => h.writeUInt32BE(70_000, 60), /snapshots/, 'TABLE_TOO_LARGE'],
    [
      'an extension naming a data file',
      (h) => {
        h.writeUInt32BE(0x44415441, 112)
        h.writeUInt32BE(8, 116)
      },
      /another file/,
      'DATA_FILE',
    ],
    [
      'an encryption extension behind a harmless one',
      (h) => {
        h.writeUInt32BE(0x6803f857, 112)
        h.writeUInt32BE(9, 116)
        h.writeUInt32BE(0x0537be77, 136)
      },
      /encrypted/,
      'ENCRYPTED',
    ],
    [
      'an extension past the cluster',
      (h) => {
        h.writeUInt32BE(0x12345678, 112)
        h.writeUInt32BE(0xfffffff0, 116)
      },
      /leaves the first cluster/,
      'EXTENSION_INVALID',
    ],
  ]
  it.each(refused)('refuses %s', (_name, change, text, code) => {
    expect(() => parse(image(change))).toThrow(text)
    expect(() => judgeImageHead(image(change), FILE_BYTES, 'a')).toThrow(
      expect.objectContaining({ reason: 'IMAGE_REFUSED', details: { refusal: code } }) as Error,
    )
  })

  it('refuses tables that share bytes', () => {
    const overlap = image((h) => h.writeBigUInt64BE(BigInt(CLUSTER), 40))
    expect(() => parse(overlap)).toThrow(expect.objectContaining({ code: 'TABLE_OVERLAP' }) as Error)
  })

  it('refuses a header that is cut off, at any length', () => {
    for (let length = 4; length < 112; length++) {
      expect(() => parse(image().subarray(0, length))).toThrow(/ends before its header/)
    }
  })
})
