import { describe, expect, it } from 'vitest'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { furtherBytes, furtherBytesByName } from '../../../src/images/further-space.ts'

const noise = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7919) % 251))

describe('furtherBytes', () => {
  it('is nothing for what is stored as it comes', () => {
    expect(furtherBytes(Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), 1000)).toBe(0)
    expect(furtherBytesByName('disk.qcow2', 1000)).toBe(0)
  })
  it('is as much again for what is unpacked or converted', () => {
    expect(furtherBytes(gzipSync(noise), 1000)).toBe(1000)
    expect(furtherBytes(Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(4096)]), 1000)).toBe(1000)
    for (const name of ['a.img.xz', 'b.OVA', 'c.vhdx', 'd.tar.gz']) expect(furtherBytesByName(name, 1000)).toBe(1000)
  })
  it('is what a zstd frame says, up to four times its size', () => {
    const packed = zstdCompressSync(noise)
    // The content size is told when the compressor knew it.
    expect(furtherBytes(packed, 90_000)).toBe(100_000)
    expect(furtherBytes(packed, 1_000)).toBe(4_000)
    expect(furtherBytes(packed.subarray(0, 10), 1_000)).toBe(1_000)
  })
})
