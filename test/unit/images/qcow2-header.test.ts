import { describe, expect, it } from 'vitest'
import { judgeImageHeader } from '../../../src/images/image-header.ts'
import { parseQcow2Header } from '../../../src/images/qcow2-header.ts'

const CLUSTER = 65_536
const FILE_BYTES = 4 * CLUSTER

/** The header of a sane, empty qcow2 v3 of 1 GiB as qemu-img lays it out, with fields changed. */
function header(change: (head: Buffer) => void = () => undefined): Buffer {
  const head = Buffer.alloc(CLUSTER)
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

describe('parseQcow2Header', () => {
  it('reads version 3 and version 2', () => {
    expect(parseQcow2Header(header(), FILE_BYTES)).toEqual({
      version: 3,
      virtualSizeBytes: 2 ** 30,
      clusterSizeBytes: CLUSTER,
      compression: 'zlib',
    })
    const version2 = header((h) => void h.writeUInt32BE(2, 4))
    expect(parseQcow2Header(version2, FILE_BYTES).version).toBe(2)
  })

  it('reads zstd compression', () => {
    const zstd = header((h) => {
      h.writeBigUInt64BE(8n, 72)
      h.writeUInt8(1, 104)
    })
    expect(parseQcow2Header(zstd, FILE_BYTES).compression).toBe('zstd')
  })

  const refused: [name: string, change: (head: Buffer) => void, text: RegExp][] = [
    ['version 1', (h) => h.writeUInt32BE(1, 4), /version 1/],
    ['version 4', (h) => h.writeUInt32BE(4, 4), /version 4/],
    ['a backing file', (h) => h.writeBigUInt64BE(200n, 8), /backing file/],
    ['a backing file length without an offset', (h) => h.writeUInt32BE(5, 16), /backing file/],
    ['a cluster size of 2^8', (h) => h.writeUInt32BE(8, 20), /cluster size/],
    ['a cluster size of 2^22', (h) => h.writeUInt32BE(22, 20), /cluster size/],
    ['AES encryption', (h) => h.writeUInt32BE(1, 32), /encrypted/],
    ['a data file bit', (h) => h.writeBigUInt64BE(4n, 72), /another file/],
    ['a corrupt bit', (h) => h.writeBigUInt64BE(2n, 72), /corrupt/],
    ['a dirty bit', (h) => h.writeBigUInt64BE(1n, 72), /closed cleanly/],
    ['an unknown feature', (h) => h.writeBigUInt64BE(1n << 40n, 72), /unknown features \(0x10000000000\)/],
    ['an unknown compression', (h) => h.writeUInt8(2, 104), /compression type 2/],
    ['compression without its bit', (h) => h.writeUInt8(1, 104), /contradicts/],
    ['a header length of 100', (h) => h.writeUInt32BE(100, 100), /impossible length/],
    ['a refcount width of 2^7', (h) => h.writeUInt32BE(7, 96), /reference count width/],
    ['a virtual size of 0', (h) => h.writeBigUInt64BE(0n, 24), /virtual size of 0/],
    ['a virtual size of 8 EiB', (h) => h.writeBigUInt64BE(2n ** 63n, 24), /absurd/],
    ['too small a cluster table', (h) => h.writeUInt32BE(1, 36), /too small a cluster table/],
    ['a huge cluster table', (h) => h.writeUInt32BE(0xffffffff, 36), /too large a cluster table/],
    [
      'a cluster table past the end',
      (h) => h.writeBigUInt64BE(BigInt(4 * CLUSTER), 40),
      /ends before its cluster table/,
    ],
    ['a misplaced cluster table', (h) => h.writeBigUInt64BE(BigInt(CLUSTER + 8), 40), /misplaced/],
    ['a cluster table at 2^64', (h) => h.writeBigUInt64BE(2n ** 64n - BigInt(CLUSTER), 40), /ends before/],
    ['no reference counts', (h) => h.writeUInt32BE(0, 56), /no reference counts/],
    ['a huge refcount table', (h) => h.writeUInt32BE(1 << 20, 56), /reference count table/],
    ['too many snapshots', (h) => h.writeUInt32BE(70_000, 60), /snapshots/],
    [
      'an extension naming a data file',
      (h) => {
        h.writeUInt32BE(0x44415441, 112)
        h.writeUInt32BE(8, 116)
      },
      /another file/,
    ],
    [
      'an encryption extension behind a harmless one',
      (h) => {
        h.writeUInt32BE(0x6803f857, 112)
        h.writeUInt32BE(9, 116)
        h.writeUInt32BE(0x0537be77, 136)
      },
      /encrypted/,
    ],
    [
      'an extension past the cluster',
      (h) => {
        h.writeUInt32BE(0x12345678, 112)
        h.writeUInt32BE(0xfffffff0, 116)
      },
      /leaves the first cluster/,
    ],
  ]
  it.each(refused)('refuses %s', (_name, change, text) => {
    expect(() => parseQcow2Header(header(change), FILE_BYTES)).toThrow(text)
    expect(() => judgeImageHeader(header(change), FILE_BYTES, 'a')).toThrow(
      expect.objectContaining({ reason: 'IMAGE_REFUSED' }) as Error,
    )
  })

  it('refuses a header that is cut off, at any length', () => {
    for (let length = 0; length < 104; length++) {
      expect(() => parseQcow2Header(header().subarray(0, length), FILE_BYTES)).toThrow(/shorter/)
    }
  })
})
