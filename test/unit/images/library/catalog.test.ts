import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DownloadRequest } from '../../../../src/core/model.ts'
import { BUILTIN_CATALOG } from '../../../../src/images/library/catalog.ts'
import { completeRequest } from '../../../../src/images/library/catalog-request.ts'
import { ImageCatalog } from '../../../../src/images/library/image-catalog.ts'
import { parseSums, findChecksums } from '../../../../src/images/proof/sums.ts'
import { isNamedMirror, parseFetchUrl, rewriteUrl } from '../../../../src/platform/fetch-policy.ts'

describe('the built-in catalog', () => {
  it('has the images that control planes know, with their users', () => {
    const known = {
      'ubuntu-22.04': 'ubuntu',
      'ubuntu-24.04': 'ubuntu',
      'debian-12': 'debian',
      'rocky-9': 'rocky',
      'almalinux-9': 'almalinux',
      'fedora-40': 'fedora',
      'centos-stream-9': 'cloud-user',
      'opensuse-leap-15.5': 'root',
    }
    const users = new Map(BUILTIN_CATALOG.map(({ id, defaultUser }) => [id, defaultUser]))
    for (const [id, user] of Object.entries(known)) expect(users.get(id), id).toBe(user)
    expect(BUILTIN_CATALOG.find(({ id }) => id === 'ubuntu-22.04')?.url).toBe(
      'https://cloud-images.ubuntu.com/jammy/current/jammy-server-cloudimg-amd64.img',
    )
    expect(BUILTIN_CATALOG.find(({ id }) => id === 'debian-12')?.url).toBe(
      'https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2',
    )
  })

  it('has ids of its own, https everywhere, and sums of nearly everything', () => {
    expect(new Set(BUILTIN_CATALOG.map(({ id }) => id)).size).toBe(BUILTIN_CATALOG.length)
    for (const { url, checksumUrl = url, signatureUrl = url } of BUILTIN_CATALOG) {
      for (const each of [url, checksumUrl, signatureUrl]) {
        expect(parseFetchUrl(each, { allowPrivateAddresses: false }).protocol).toBe('https:')
      }
    }
    const bare = BUILTIN_CATALOG.filter(({ checksumUrl }) => checksumUrl === undefined)
    expect(bare.every(({ distribution }) => distribution === 'opensuse')).toBe(true)
    const arm = BUILTIN_CATALOG.filter(({ architecture }) => architecture === 'aarch64')
    expect(arm.length).toBeGreaterThan(0)
    expect(arm.every(({ url, id }) => url.includes('arm64') && id.endsWith('-arm64'))).toBe(true)
  })
})

describe('files of an admin', () => {
  let dir: string
  let catalog: ImageCatalog
  const put = (name: string, value: unknown) =>
    writeFile(path.join(dir, name), typeof value === 'string' ? value : JSON.stringify(value))
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-catalog-'))
    catalog = new ImageCatalog(dir)
  })
  afterEach(() => rm(dir, { recursive: true }))

  it('add, replace and remove; the later file wins; a changed file counts at once', async () => {
    await put('10-site.json', {
      images: [
        { id: 'golden', url: 'https://mirror.example/golden.qcow2', checksum: `sha256:${'a'.repeat(64)}` },
        { id: 'debian-12', url: 'https://mirror.example/debian.qcow2', defaultUser: 'admin' },
        { id: 'fedora-40', remove: true },
      ],
    })
    await put('20-later.json', { images: [{ id: 'golden', name: 'Golden 2', url: 'https://mirror.example/2.qcow2' }] })
    const { images, problems } = await catalog.list()
    expect(problems).toEqual([])
    expect(images.find(({ id }) => id === 'golden')).toMatchObject({ name: 'Golden 2', origin: '20-later.json' })
    expect(images.find(({ id }) => id === 'debian-12')).toMatchObject({ defaultUser: 'admin', origin: '10-site.json' })
    expect(images.some(({ id }) => id === 'fedora-40')).toBe(false)
    await put('20-later.json', { images: [] })
    expect(await catalog.find('golden')).toMatchObject({ name: 'golden', origin: '10-site.json' })
  })

  it('that are wrong are named and spoil nothing', async () => {
    await put('a.json', '{')
    await put('b.json', { images: [{ id: 'x', url: 'ftp://host/x' }] })
    await put('c.json', { images: [{ id: '../x', url: 'https://host/x' }] })
    await put('d.json', { images: [{ id: 'good', url: 'https://host/good.qcow2' }] })
    await put('e.txt', 'no')
    const { images, problems } = await catalog.list()
    expect(problems.map(({ file }) => file)).toEqual(['a.json', 'b.json', 'c.json'])
    expect(images.length).toBe(BUILTIN_CATALOG.length + 1)
  })

  it('may be missing altogether', async () => {
    const { images, problems } = await new ImageCatalog(path.join(dir, 'nowhere')).list()
    expect([images.length, problems]).toEqual([BUILTIN_CATALOG.length, []])
  })
})

describe('a request that leaves things to the catalog', () => {
  const homes = { cloudImages: '/state/cloud-images', aliases: '/state/pools' }
  const catalog = new ImageCatalog('/nowhere')
  const request = (change: Partial<DownloadRequest>): DownloadRequest => ({
    imageId: '',
    catalogId: '',
    url: '',
    targetDir: '',
    filename: '',
    poolId: '',
    checksum: '',
    checksumType: '',
    ...change,
  })

  it('gets URL, proof and place', async () => {
    expect(await completeRequest(request({ catalogId: 'debian-12', poolId: 'p1' }), catalog, homes)).toMatchObject({
      imageId: 'debian-12',
      url: 'https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2',
      checksumUrl: 'https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS',
      targetDir: '/state/pools/p1/images/cloud-images',
    })
    expect((await completeRequest(request({ catalogId: 'debian-12' }), catalog, homes)).targetDir).toBe(
      '/state/cloud-images',
    )
  })

  it('keeps the proof that the caller gives, and the URL of the control plane', async () => {
    const given = request({ catalogId: 'debian-12', checksum: 'a'.repeat(64) })
    const complete = await completeRequest(given, catalog, homes)
    expect(complete.checksum).toBe('a'.repeat(64))
    expect(complete.checksumUrl).toBeUndefined()
    const url = 'https://host/x.qcow2'
    const asked = request({ catalogId: 'debian-12', url, imageId: 'i', targetDir: '/t' })
    expect(await completeRequest(asked, catalog, homes)).toEqual(asked)
  })

  it('is refused when the catalog does not know the image', async () => {
    await expect(completeRequest(request({ catalogId: 'nobody' }), catalog, homes)).rejects.toMatchObject({
      reason: 'CATALOG_UNKNOWN',
    })
    await expect(completeRequest(request({}), catalog, homes)).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
  })
})

describe('url_rewrite', () => {
  const rewrites = [
    { from: 'https://cloud.debian.org/images/', to: 'http://10.0.0.5/debian/' },
    { from: 'https://cloud.debian.org/', to: 'http://mirror.lan/all/' },
  ]

  it('puts the mirror in the place of the prefix, first rule first, whatever the spelling', () => {
    expect(rewriteUrl('https://cloud.debian.org/images/cloud/x.qcow2?a=1', rewrites)).toBe(
      'http://10.0.0.5/debian/cloud/x.qcow2?a=1',
    )
    expect(rewriteUrl('HTTPS://Cloud.Debian.Org:443/images/../x', rewrites)).toBe('http://mirror.lan/all/x')
    expect(rewriteUrl('https://cloud.debian.org.evil.example/images/x', rewrites)).toBe(
      'https://cloud.debian.org.evil.example/images/x',
    )
    expect(rewriteUrl('https://other.example/x', rewrites)).toBe('https://other.example/x')
  })

  it('lets the mirror, and nothing else, have a private address', () => {
    const policy = { allowPrivateAddresses: false, rewrites }
    expect(parseFetchUrl('http://10.0.0.5/debian/x', policy).host).toBe('10.0.0.5')
    expect(() => parseFetchUrl('http://10.0.0.5:81/debian/x', policy)).toThrow(/private/)
    expect(() => parseFetchUrl('http://10.0.0.6/debian/x', policy)).toThrow(/private/)
    expect(isNamedMirror(new URL('http://mirror.lan/y'), rewrites)).toBe(true)
  })
})

describe('a digest that stands alone in its file', () => {
  it('is of the file it is beside', () => {
    const hex = 'ab'.repeat(64)
    expect(findChecksums(parseSums(`${hex}\n`), 'alpine.qcow2')).toMatchObject([{ algorithm: 'sha512', hex }])
    expect(() => findChecksums(parseSums(`${hex}  other.qcow2\n`), 'alpine.qcow2')).toThrow(/no sha256 or sha512/)
  })
})
