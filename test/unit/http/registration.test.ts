import { expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import type { Reason } from '../../../src/core/reasons.ts'
import { discovery } from '../../control-plane/discover-schemas.ts'
import { discoverHost } from '../../control-plane/discover-host.ts'
import { JOIN_TOKEN } from '../grpc/fake-services.ts'
import { startHttpRig } from './client.ts'

test('a control plane finds the host by ping, token and discovery', async () => {
  await using rig = await startHttpRig()
  const found = await discoverHost(rig.server.address, JOIN_TOKEN)
  expect(found).toMatchObject({ ok: true, host: { hostname: expect.any(String) as string } })
})

test('the answer of discovery has every key with its type, and no other', async () => {
  await using rig = await startHttpRig()
  const answer = await rig.fetch('GET', '/api/v1/registration/discovery', undefined, {
    authorization: `Bearer ${JOIN_TOKEN}`,
  })
  expect(discovery.parse(answer.json)).toEqual(answer.json)
})

const OUTCOMES: readonly (readonly [Reason, string, string])[] = [
  ['TOKEN_EXPIRED', 'the registration token has expired', 'TOKEN_EXPIRED'],
  ['TOKEN_INVALID', 'this is not the registration token', 'TOKEN_INVALID'],
  ['TOKEN_MISSING', 'no registration token was made', 'TOKEN_MISSING'],
  ['TOKEN_ATTEMPTS', 'too many wrong tokens', 'TOKEN_INVALID'],
]

test.each(OUTCOMES)('%s is what a control plane makes of it', async (reason, message, code) => {
  const checkToken = () => Promise.reject(new AgentError(reason, message))
  await using rig = await startHttpRig({ cluster: { checkToken } })
  expect(await discoverHost(rig.server.address, JOIN_TOKEN)).toMatchObject({ ok: false, code })
})

test('without a token, or with something else in its place, nothing is told', async () => {
  await using rig = await startHttpRig()
  for (const authorization of [undefined, 'Bearer ', `Basic ${JOIN_TOKEN}`, `Bearer ${'x'.repeat(300)}`]) {
    for (const path of ['token', 'discovery']) {
      const headers = authorization === undefined ? {} : { authorization }
      const answer = await rig.fetch('GET', `/api/v1/registration/${path}`, undefined, headers)
      expect(answer).toMatchObject({ status: 401, json: { error: 'token_invalid' } })
      expect(answer.text).not.toMatch(/expired|QUANTIX/i)
    }
  }
  expect(rig.services.calls.filter(({ method }) => method === 'checkToken')).toEqual([])
})

test('a host that is told to wait says for how long', async () => {
  const details = { retryAfterMs: '1500' }
  const checkToken = () => Promise.reject(new AgentError('TOKEN_ATTEMPTS', 'wait', { details }))
  await using rig = await startHttpRig({ cluster: { checkToken } })
  const answer = await fetch(`${rig.server.address}/api/v1/registration/token`, {
    headers: { authorization: `Bearer ${JOIN_TOKEN}` },
  })
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '2'])
})

test.each([
  ['/api/v1/registration/token', undefined],
  ['/api/v1/cluster/generate-token', undefined],
  ['/api/v1/cluster/test-connection', { controlPlaneUrl: 'http://192.0.2.1:8080' }],
  ['/api/v1/cluster/leave', undefined],
])('POST %s is refused on TCP', async (path, body) => {
  await using rig = await startHttpRig()
  expect(await rig.fetch('POST', path, body)).toMatchObject({ status: 403, json: { error: 'local_only' } })
})

test('a join from another machine needs the token of the host', async () => {
  await using rig = await startHttpRig()
  const controlPlaneAddress = 'http://192.0.2.1:8080'
  const join = (registrationToken?: string) =>
    rig.fetch('POST', '/api/v1/cluster/join', { controlPlaneAddress, registrationToken })
  expect((await join()).status).toBe(401)
  expect((await join('QUANTIX-AAAA-AAAA-AAAA')).status).toBe(401)
  expect(rig.services.calls.some(({ method }) => method === 'join')).toBe(false)
  expect((await join(JOIN_TOKEN)).json).toMatchObject({ joined: true, nodeId: 'node-1' })
})
