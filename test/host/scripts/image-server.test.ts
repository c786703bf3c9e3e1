import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseRange, serveDirectory } from '../../../scripts/lib/image-server.ts'

describe('parseRange', () => {
  test.each([
    [undefined, undefined],
    ['bytes=0-3', { first: 0, last: 3 }],
    ['bytes=4-', { first: 4, last: 9 }],
    ['bytes=-3', { first: 7, last: 9 }],
    ['bytes=-99', { first: 0, last: 9 }],
    ['bytes=8-99', { first: 8, last: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', undefined],
    ['bytes=-', undefined],
    ['bytes=0-1,4-5', undefined],
    ['lines=1-2', undefined],
  ])('%s of 10 bytes', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected)
  })
})

describe('serveDirectory', () => {
  let directory: string
  let server: Awaited<ReturnType<typeof serveDirectory>>

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lqx-serve-'))
    await writeFile(join(directory, 'image'), '0123456789')
    await writeFile(join(directory, 'empty'), '')
    await symlink('/etc/passwd', join(directory, 'outside'))
    server = await serveDirectory(directory)
  })

  afterAll(async () => {
    await server.close()
    await rm(directory, { recursive: true, force: true })
  })

  const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> =>
    fetch(new URL(path, server.url), { headers, method })

  test('sends the whole file with its length and an entity tag', async () => {
    const response = await get('image')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe('10')
    expect(response.headers.get('accept-ranges')).toBe('bytes')
    expect(await response.text()).toBe('0123456789')
    const etag = response.headers.get('etag') ?? ''
    expect((await get('image', { 'If-None-Match': etag })).status).toBe(304)
  })

  test('sends a part, but the whole file to a client whose first part was of another version', async () => {
    const part = await get('image', { Range: 'bytes=4-6' })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 4-6/10', '456'])
    const etag = part.headers.get('etag') ?? ''
    expect((await get('image', { Range: 'bytes=4-6', 'If-Range': etag })).status).toBe(206)
    expect((await get('image', { Range: 'bytes=4-6', 'If-Range': '"old"' })).status).toBe(200)
    const beyond = await get('image', { Range: 'bytes=10-' })
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */10'])
  })

  test('answers HEAD without a body, and empty files', async () => {
    const head = await get('image', {}, 'HEAD')
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '10', ''])
    expect(await (await get('empty')).text()).toBe('')
  })

  test('refuses other methods', async () => {
    expect((await get('image', {}, 'POST')).status).toBe(405)
  })

  // fetch() would tidy these paths up before it sends them.
  test.each(['/../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/outside', '/none', '/', '/%00', '/%zz'])(
    'knows no %s',
    async (path) => {
      const { port } = new URL(server.url)
      const status = await new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port, path }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
          .on('error', reject)
          .end()
      })
      expect(status).toBe(404)
    },
  )
})
