import { describe, expect, it } from 'vitest'
import { fileSignature, SIGNATURE_BYTES } from '../../../src/images/file-signature.ts'
import { judgeImageHead } from '../../../src/images/image-header.ts'

const at = (offset: number, bytes: string, length = SIGNATURE_BYTES) => {
  const head = Buffer.alloc(length)
  head.write(bytes, offset, 'latin1')
  return head
}

describe('fileSignature', () => {
  const table: [name: string, head: Buffer, signature: string][] = [
    ['qcow2', at(0, 'QFI\xfb'), 'qcow2'],
    ['an MBR disk', at(510, '\x55\xaa'), 'raw'],
    ['a GPT disk', at(512, 'EFI PART'), 'raw'],
    ['ext4', at(0x438, '\x53\xef'), 'raw'],
    ['XFS', at(0, 'XFSB'), 'raw'],
    ['btrfs', at(0x10040, '_BHRfS_M'), 'raw'],
    ['an ISO', at(32_769, 'CD001'), 'iso'],
    ['a sparse VMDK', at(0, 'KDMV'), 'vmdk'],
    ['a VMDK descriptor', at(0, '# Disk DescriptorFile\nversion=1'), 'vmdk'],
    ['VHDX', at(0, 'vhdxfile'), 'vhdx'],
    ['VHD', at(0, 'conectix'), 'vpc'],
    ['VDI', at(64, '\x7f\x10\xda\xbe'), 'vdi'],
    ['LUKS', at(0, 'LUKS\xba\xbe'), 'luks'],
    ['gzip', at(0, '\x1f\x8b\x08'), 'gzip'],
    ['xz', at(0, '\xfd7zXZ\0'), 'xz'],
    ['zstd', at(0, '\x28\xb5\x2f\xfd'), 'zstd'],
    ['bzip2', at(0, 'BZh9'), 'bzip2'],
    ['zip', at(0, 'PK\x03\x04'), 'zip'],
    ['tar', at(257, 'ustar'), 'tar'],
    ['HTML', Buffer.from('\n <!DOCTYPE HTML PUBLIC "x">'), 'html'],
    ['HTML behind a comment and a byte order mark', Buffer.from('\ufeff<!-- x -->\n<html>'), 'html'],
    ['XHTML', Buffer.from('<?xml version="1.0"?><html xmlns="x">'), 'html'],
    ['an S3 error', Buffer.from('<?xml version="1.0"?><Error><Code>NoSuchKey</Code>'), 'xml'],
    ['text', Buffer.from('Not today.\n'), 'text'],
    ['nothing', Buffer.alloc(0), 'empty'],
    ['zeros', Buffer.alloc(4096), 'empty'],
    ['noise', Buffer.from([1, 2, 3, 0, 200]), 'unknown'],
  ]
  it.each(table)('knows %s', (_name, head, signature) => {
    expect(fileSignature(head)).toBe(signature)
  })

  it('takes a hybrid ISO for an ISO', () => {
    const hybrid = at(32_769, 'CD001')
    hybrid.write('\x55\xaa', 510, 'latin1')
    expect(fileSignature(hybrid)).toBe('iso')
  })
})

describe('judgeImageHead', () => {
  it('takes a raw disk, with and without knowing its size', () => {
    expect(judgeImageHead(at(510, '\x55\xaa'), 1024 * 512, 'a')).toBe('raw')
    expect(judgeImageHead(at(510, '\x55\xaa'), undefined, 'a')).toBe('raw')
  })

  it('refuses what is two things at once', () => {
    const both = at(0, 'QFI\xfb')
    both.write('EFI PART', 512, 'latin1')
    expect(() => judgeImageHead(both, undefined, 'a')).toThrow(
      expect.objectContaining({ reason: 'IMAGE_REFUSED', details: { refusal: 'POLYGLOT' } }) as Error,
    )
  })

  it('refuses a raw disk that ends in the middle of a sector, or before its partition table says', () => {
    const refused = expect.objectContaining({ reason: 'IMAGE_REFUSED' }) as Error
    expect(() => judgeImageHead(at(510, '\x55\xaa'), 1000, 'a')).toThrow(refused)
    const gpt = at(512, 'EFI PART')
    gpt.writeBigUInt64LE(2047n, 512 + 32)
    expect(judgeImageHead(gpt, 2048 * 512, 'a')).toBe('raw')
    expect(() => judgeImageHead(gpt, 2047 * 512, 'a')).toThrow(refused)
  })

  it('says what a file is instead', () => {
    expect(() => judgeImageHead(Buffer.from('<html>'), 6, '/pool/a.qcow2')).toThrow(
      expect.objectContaining({
        reason: 'IMAGE_NOT_AN_IMAGE',
        message: expect.stringContaining('a web page') as string,
      }) as Error,
    )
  })
})
