import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../../../src/core/error-code.ts'
import { HTTP_STATUS } from '../../../src/http/status.ts'
import { VM_ID } from '../grpc/fake-services.ts'
import { startHttpRig, type HttpRig } from './client.ts'

let rig: HttpRig
beforeAll(async () => {
  rig = await startHttpRig()
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
})

/** What the server answers to raw bytes. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(rig.server.port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('end', () => resolve(text))
    socket.on('error', reject)
  })
}

const JSON_TYPE = { 'content-type': 'application/json' }
const DOWNLOAD = '/api/v1/images/download'

test('every failure class has a status of its own kind', () => {
  expect(Object.keys(HTTP_STATUS).sort()).toEqual([...ERROR_CODES].sort())
  for (const status of Object.values(HTTP_STATUS)) expect(status).toBeGreaterThanOrEqual(400)
})

describe('requests that are wrong get {error, message} and nothing else', () => {
  test.each([
    ['broken JSON', 'POST', DOWNLOAD, '{"url":', JSON_TYPE, 400, 'invalid_request'],
    ['no body', 'POST', DOWNLOAD, '', JSON_TYPE, 400, 'invalid_request'],
    ['JSON of another type', 'POST', DOWNLOAD, '[]', JSON_TYPE, 400, 'invalid_request'],
    ['a missing key', 'POST', DOWNLOAD, '{"url":"x"}', JSON_TYPE, 400, 'invalid_request'],
    ['a wrong type', 'POST', DOWNLOAD, '{"url":1,"imageId":"i","targetDir":"/x"}', JSON_TYPE, 400, 'invalid_request'],
    ['an empty url', 'POST', DOWNLOAD, '{"url":"","imageId":"i","targetDir":"/x"}', JSON_TYPE, 400, 'invalid_request'],
    ['a prototype key', 'POST', DOWNLOAD, '{"__proto__":{"url":"x"}}', JSON_TYPE, 400, 'invalid_request'],
    ['text', 'POST', DOWNLOAD, 'hello', { 'content-type': 'text/plain' }, 415, 'invalid_request'],
    [
      'a form',
      'POST',
      DOWNLOAD,
      'a=b',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'invalid_request',
    ],
    ['an unknown route', 'GET', '/api/v1/nothing', undefined, {}, 404, 'route_unknown'],
    ['an unknown method', 'PUT', '/api/v1/vms', undefined, {}, 404, 'route_unknown'],
    ['a malformed escape', 'GET', '/api/v1/vms/%zz', undefined, {}, 400, 'invalid_request'],
    ['an overlong id', 'GET', `/api/v1/vms/${'a'.repeat(300)}`, undefined, {}, 414, 'invalid_request'],
    ['an encoded way up', 'GET', '/api/v1/storage/pools/..%2f..%2fetc', undefined, {}, 400, 'invalid_name'],
    ['a NUL id', 'GET', '/api/v1/storage/pools/a%00b', undefined, {}, 400, 'invalid_name'],
    ['a newline id', 'GET', '/api/v1/images/download/a%0ab', undefined, {}, 400, 'invalid_name'],
    ['an id of markup', 'DELETE', '/api/v1/storage/pools/%3Cx%3E%26', undefined, {}, 400, 'invalid_name'],
    ['an id that is no UUID', 'GET', '/api/v1/vms/..%2f..%2fx', undefined, {}, 400, 'invalid_request'],
    [
      'a repeated query key',
      'GET',
      '/api/v1/storage/pools/p/files?path=a&path=b',
      undefined,
      {},
      400,
      'invalid_request',
    ],
    [
      'a page of another origin',
      'POST',
      `/api/v1/vms/${VM_ID}/start`,
      undefined,
      { origin: 'https://evil.example' },
      403,
      'origin_refused',
    ],
    [
      'a page without origin',
      'POST',
      `/api/v1/vms/${VM_ID}/start`,
      undefined,
      { origin: 'null' },
      403,
      'origin_refused',
    ],
  ])('%s', async (_name, method, path, body, headers, status, error) => {
    const answer = await rig.fetch(method, path, body, headers)
    expect(answer, answer.text).toMatchObject({ status, json: { error, message: expect.stringMatching(/./) } })
    expect(Object.keys(answer.json as object).sort()).toEqual(['error', 'message'])
    expect(rig.services.calls).toEqual([])
  })

  test('a body above the limit', async () => {
    const answer = await rig.fetch('POST', DOWNLOAD, `{"url":"${'x'.repeat(9 * 1024 * 1024)}"}`, JSON_TYPE)
    expect(answer).toMatchObject({ status: 413, json: { error: 'body_too_large' } })
  })

  test('a secret in a wrong place is not repeated', async () => {
    const answer = await rig.fetch('POST', '/api/v1/vms', {
      name: 'x',
      cpuCores: 1,
      memoryMib: 64,
      cloudInit: { userData: { password: 'hunter2' } },
    })
    expect(answer.status).toBe(400)
    expect(answer.text).not.toContain('hunter2')
  })

  test.each([
    ['NONSENSE\r\n\r\n', '400'],
    ['\x16\x03\x01\x02\x00\x01\x00', '400'],
    [`GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, '431'],
  ])('bytes that are no request (%#)', async (bytes, status) => {
    const answer = await raw(bytes)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toHaveProperty('error')
  })
})

test('a page whose name was pointed at this host is refused', async () => {
  const page = 'evil.example:8080'
  const head = [`POST /api/v1/vms/${VM_ID}/start HTTP/1.1`, `Host: ${page}`, `Origin: http://${page}`]
  const answer = await raw([...head, 'Content-Length: 0', 'Connection: close', '\r\n'].join('\r\n'))
  expect(answer).toMatch(/^HTTP\/1.1 403 [^]*origin_refused/)
  expect(rig.services.calls).toEqual([])
})

test('no CORS header is ever sent', async () => {
  const response = await fetch(`${rig.server.address}/api/v1/vms`, { method: 'OPTIONS' })
  expect(response.headers.get('access-control-allow-origin')).toBeNull()
})

test('a page of this server itself is served', async () => {
  const answer = await rig.fetch('GET', '/healthz', undefined, { origin: rig.server.address })
  expect(answer.status).toBe(200)
})

test('the request id of the caller comes back with an error, a hostile one does not', async () => {
  const idFor = async (id: string) => {
    const response = await fetch(`${rig.server.address}/nothing`, { headers: { 'x-request-id': id } })
    return response.headers.get('limiquantix-request-id')
  }
  expect(await idFor('abc-1')).toBe('abc-1')
  expect(await idFor('a b"c')).toMatch(/^[0-9a-f-]{36}$/)
})
