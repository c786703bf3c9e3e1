import { describe, expect, it } from 'vitest'
import { answersRequest, describesFile, type ImageManifest } from '../../../src/images/manifest.ts'
import { checkDigest, parseChecksum, type Checksum } from '../../../src/images/verify.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(128)

describe('parseChecksum', () => {
  const good: [text: string, type: string, expected: unknown][] = [
    ['', '', undefined],
    ['', 'sha256', undefined],
    ['  ', '', undefined],
    [A, '', { algorithm: 'sha256', hex: A }],
    [B, '', { algorithm: 'sha512', hex: B }],
    [`sha256:${A}`, '', { algorithm: 'sha256', hex: A }],
    [`SHA-512:${B.toUpperCase()}`, 'sha512', { algorithm: 'sha512', hex: B }],
    [A, 'SHA256', { algorithm: 'sha256', hex: A }],
  ]
  it.each(good)('%s of type %s', (text, type, expected) => {
    expect(parseChecksum(text, type)).toEqual(expected)
  })

  const bad: [text: string, type: string][] = [
    ['md5:d41d8cd98f00b204e9800998ecf8427e', ''],
    ['abc', ''],
    [A.slice(1), ''],
    [`sha512:${A}`, ''],
    [`sha256:${B}`, ''],
    [A, 'sha512'],
    [`sha256:${A}`, 'sha512'],
    [A, 'md5'],
    [`${A}\n${A}`, ''],
    [`sha256:sha256:${A}`, ''],
    ['g'.repeat(64), ''],
  ]
  it.each(bad)('refuses %s of type %s', (text, type) => {
    expect(() => parseChecksum(text, type)).toThrow(expect.objectContaining({ reason: 'CHECKSUM_INVALID' }) as Error)
  })
})

describe('checkDigest', () => {
  const expected = { algorithm: 'sha512', hex: B } as const
  const mismatch = expect.objectContaining({ reason: 'CHECKSUM_MISMATCH' }) as Error

  it('is content without a checksum and with the right one', () => {
    checkDigest({ sha256: A }, undefined, 'x')
    checkDigest({ sha512: B }, expected, 'x')
  })
  it('never passes on another or a missing digest', () => {
    expect(() => checkDigest({ sha512: 'c'.repeat(128) }, expected, 'x')).toThrow(mismatch)
    expect(() => checkDigest({ sha256: A }, expected, 'x')).toThrow(mismatch)
  })
})

describe('a manifest', () => {
  const manifest: ImageManifest = {
    version: 1,
    jobId: 'j',
    url: 'https://a.example/x',
    finalUrl: 'https://a.example/x',
    digests: { sha256: A },
    checksumGiven: false,
    format: 'qcow2',
    virtualSizeBytes: 1,
    sizeBytes: 10,
    mtimeMs: 5.25,
    tools: {},
    createdAt: '',
  }
  it('describes a file of the same size and time only', () => {
    expect(describesFile(manifest, { sizeBytes: 10, mtimeMs: 5.25 })).toBe(true)
    expect(describesFile(manifest, { sizeBytes: 11, mtimeMs: 5.25 })).toBe(false)
    expect(describesFile(manifest, { sizeBytes: 10, mtimeMs: 5.5 })).toBe(false)
  })
  it('answers by checksum when one is given, else by URL', () => {
    const none = { source: [], final: [] }
    const source = (checksum: Checksum) => ({ source: [checksum], final: [] })
    const sha256 = (hex: string) => ({ algorithm: 'sha256', hex }) as const
    expect(answersRequest(manifest, manifest.url, none)).toBe('yes')
    expect(answersRequest(manifest, 'https://b.example/x', none)).toBe('no')
    expect(answersRequest(manifest, 'https://b.example/x', source(sha256(A)))).toBe('yes')
    expect(answersRequest(manifest, manifest.url, source(sha256('c'.repeat(64))))).toBe('no')
    expect(answersRequest(manifest, manifest.url, source({ algorithm: 'sha512', hex: B }))).toBe('unknown')
  })
  it('compares the source and the image inside with their own digests', () => {
    const [a, b, c] = [A, B.slice(0, 64), 'c'.repeat(64)].map((hex) => ({ algorithm: 'sha256', hex }) as const)
    const wrapped = {
      ...manifest,
      source: { digests: { sha256: b?.hex ?? '' }, sizeBytes: 1 },
      image: { digests: { sha256: c?.hex ?? '' }, sizeBytes: 2 },
    }
    const expected = (source: Checksum | undefined, final?: Checksum) => ({
      source: source === undefined ? [] : [source],
      final: final === undefined ? [] : [final],
    })
    expect(answersRequest(wrapped, 'u', expected(b, c))).toBe('yes')
    expect(answersRequest(wrapped, 'u', expected(b, a))).toBe('no')
    expect(answersRequest(wrapped, 'u', expected(a))).toBe('no')
    expect(answersRequest(wrapped, 'u', expected(undefined, c))).toBe('yes')
  })
})
