import type { LookupAddress } from 'node:dns'
import { describe, expect, it } from 'vitest'
import { isPublicAddress } from '../../../src/platform/address-guard.ts'
import { guardedLookup, parseFetchUrl } from '../../../src/platform/fetch-policy.ts'

describe('isPublicAddress', () => {
  const table: [address: string, isPublic: boolean][] = [
    ['8.8.8.8', true],
    ['172.32.0.1', true],
    ['2606:4700::1111', true],
    ['::ffff:8.8.8.8', true],
    ['64:ff9b::808:808', true],
    ['0.0.0.0', false],
    ['10.1.2.3', false],
    ['100.64.0.1', false],
    ['127.255.255.254', false],
    ['169.254.169.254', false],
    ['172.16.0.1', false],
    ['192.168.1.1', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['::1', false],
    ['::7f00:1', false],
    ['::ffff:127.0.0.1', false],
    ['::ffff:a9fe:a9fe', false],
    ['64:ff9b::10.0.0.1', false],
    ['2002:7f00:1::', false],
    ['fd00:ec2::254', false],
    ['fe80::1', false],
    ['fe80::1%eth0', false],
    ['ff02::1', false],
    ['localhost', false],
    ['', false],
  ]
  it.each(table)('%s: %s', (address, expected) => {
    expect(isPublicAddress(address)).toBe(expected)
  })
})

describe('parseFetchUrl without private addresses', () => {
  const policy = { allowPrivateAddresses: false }
  const refused = [
    'file:///etc/shadow',
    'ftp://mirror.example/a.qcow2',
    'javascript:alert(1)',
    'not a url',
    '',
    'http://user:secret@mirror.example/a',
    'http://localhost/a',
    'http://mirror.localhost./a',
    'http://127.0.0.1/a',
    'http://127.1/a',
    'http://2130706433/a',
    'http://0x7f.0.0.1/a',
    'http://0177.0.0.1/a',
    'http://[::1]/a',
    'http://[::ffff:10.0.0.1]/a',
    'http://169.254.169.254/latest/meta-data',
  ]
  it.each(refused)('refuses %s', (url) => {
    expect(() => parseFetchUrl(url, policy)).toThrow(expect.objectContaining({ reason: 'URL_REFUSED' }) as Error)
  })

  it('never repeats a password', () => {
    expect(() => parseFetchUrl('http://user:secret@mirror.example/a', policy)).toThrow(/^(?!.*secret)/)
    expect(() => parseFetchUrl('ftp://user:secret@mirror.example/a?secret', policy)).toThrow(
      '"ftp://mirror.example/a": only http and https',
    )
    expect(() => parseFetchUrl('file:///etc/passwd', policy)).toThrow('"file:///etc/passwd": only http and https')
  })

  it('takes public names and addresses', () => {
    expect(parseFetchUrl('https://cloud.example/a.qcow2', policy).hostname).toBe('cloud.example')
    expect(parseFetchUrl('http://8.8.8.8/a', policy).hostname).toBe('8.8.8.8')
  })

  it('takes private addresses when they are allowed, but no other scheme', () => {
    expect(parseFetchUrl('http://127.0.0.1:8000/a', { allowPrivateAddresses: true }).port).toBe('8000')
    expect(() => parseFetchUrl('file:///a', { allowPrivateAddresses: true })).toThrow()
  })
})

describe('guardedLookup', () => {
  const look = (answers: string[], all: boolean) => {
    const lookup = guardedLookup({
      allowPrivateAddresses: false,
      resolve: (_name, _options, done) =>
        done(
          null,
          answers.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        ),
    })
    return new Promise<string | LookupAddress[]>((resolve, reject) => {
      lookup('mirror.example', { all }, (error, address) => (error === null ? resolve(address) : reject(error)))
    })
  }

  it('hands out only the public answers', async () => {
    expect(await look(['10.0.0.1', '8.8.8.8', '::1'], true)).toEqual([{ address: '8.8.8.8', family: 4 }])
    expect(await look(['10.0.0.1', '8.8.8.8'], false)).toBe('8.8.8.8')
  })

  it('refuses when none is left', async () => {
    await expect(look(['10.0.0.1'], true)).rejects.toMatchObject({ reason: 'URL_REFUSED' })
    await expect(look([], false)).rejects.toMatchObject({ reason: 'URL_REFUSED' })
  })
})
