import { describe, expect, it } from 'vitest'
import { clearsignedText } from '../../../../src/images/proof/clearsigned.ts'
import { findChecksums, parseSums } from '../../../../src/images/proof/sums.ts'

const A = 'a'.repeat(64)
const B = 'B'.repeat(64)
const LONG = 'c'.repeat(128)
const find = (text: string, file: string) => findChecksums(parseSums(text), file)

describe('sums', () => {
  it.each([
    [
      'Debian',
      `${LONG}  debian-12.qcow2\n${LONG.replaceAll('c', 'd')}  debian-12.raw\n`,
      'debian-12.qcow2',
      'sha512',
      LONG,
    ],
    ['Ubuntu', `${A} *noble.img\n${B} *noble.tar.gz\n`, 'noble.tar.gz', 'sha256', B.toLowerCase()],
    [
      'Fedora',
      `# Cloud.qcow2: 397 bytes\nSHA256 (Cloud.qcow2) = ${A}\nSHA256 (Cloud.raw.xz) = ${B}\n`,
      'Cloud.qcow2',
      'sha256',
      A,
    ],
    ['CRLF', `${A}  x.img\r\n`, 'x.img', 'sha256', A],
    ['made in the directory', `${A}  ./x.img\n`, 'x.img', 'sha256', A],
    ['BSD without spaces', `SHA512(x.img)= ${LONG}\n`, 'x.img', 'sha512', LONG],
    ['a name with spaces', `${A}  my image.img\n`, 'my image.img', 'sha256', A],
    ['one said twice', `${A}  x.img\n${A} *x.img\n`, 'x.img', 'sha256', A],
    [
      'other kinds beside it',
      `MD5 (x.img) = ${'e'.repeat(32)}\nSHA1 (x.img) = ${'e'.repeat(40)}\nSHA256 (x.img) = ${A}\n`,
      'x.img',
      'sha256',
      A,
    ],
  ])('are read as %s writes them', (_name, text, file, algorithm, hex) => {
    expect(find(text, file)).toEqual([{ algorithm, hex }])
  })

  it('give every kind there is', () => {
    expect(find(`${A}  x\nSHA512 (x) = ${LONG}\n`, 'x')).toEqual([
      { algorithm: 'sha256', hex: A },
      { algorithm: 'sha512', hex: LONG },
    ])
  })

  it.each([
    ['nothing', '', 'x.img'],
    ['a longer name', `${A}  x.img.xz\n`, 'x.img'],
    ['a file elsewhere', `${A}  old/x.img\n`, 'x.img'],
    ['another case', `${A}  X.img\n`, 'x.img'],
    ['a short digest', `${A.slice(1)}  x.img\n`, 'x.img'],
    ['only weak digests', `MD5 (x.img) = ${'e'.repeat(32)}\n`, 'x.img'],
    ['a BSD line of the wrong length', `SHA512 (x.img) = ${A}\n`, 'x.img'],
    ['two that differ', `${A}  x.img\n${B}  x.img\n`, 'x.img'],
    ['a web page', '<!doctype html><html></html>', 'x.img'],
  ])('are refused with %s, naming the file', (_name, text, file) => {
    expect(() => find(text, file)).toThrowError(expect.objectContaining({ reason: 'SUMS_UNUSABLE' }) as Error)
    expect(() => find(text, file)).toThrow(/"x\.img"/)
  })

  it('of absurd length are refused', () => {
    expect(() => parseSums('\n'.repeat(20_001))).toThrow(/lines/)
  })
})

describe('clear-signed text', () => {
  const message = (body: string) =>
    `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${body}\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n`
  it('is what is inside, without dashes', () => {
    expect(clearsignedText(message(`- -x\n${A}  f`))).toBe(`-x\n${A}  f`)
  })
  it('leaves out what stands around the message', () => {
    expect(clearsignedText(`${B}  f\n${message(`${A}  f`)}${B}  f\n`)).toBe(`${A}  f`)
  })
  it.each([
    ['plain text', `${A}  f\n`],
    ['two messages', message('a') + message('b')],
    ['no signature', '-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n'],
  ])('is not there in %s', (_name, text) => {
    expect(clearsignedText(text)).toBeUndefined()
  })
})
