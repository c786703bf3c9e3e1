import { expect, test } from 'vitest'
import { AgentError } from '../../../../src/core/errors.ts'
import { remoteTarget, targetOrigin } from '../../../../src/domains/migration/remote-target.ts'
import type { JsonAnswer } from '../../../../src/platform/json-poster.ts'

test.each([
  ['http://192.0.2.1:18080', false, 'http://192.0.2.1:18080'],
  ['https://host-b.example:8443/', true, 'https://host-b.example:8443'],
  ['host-b', false, 'http://host-b:8080'],
  ['host-b', true, 'https://host-b:8443'],
  ['192.0.2.1:9090', false, 'http://192.0.2.1:8080'],
  ['grpc://192.0.2.1:9090', true, 'https://192.0.2.1:8443'],
  ['qemu+tls://host-b/system', false, 'http://host-b:8080'],
  ['[2001:db8::1]:9090', false, 'http://[2001:db8::1]:8080'],
])('%s (encrypted: %s) is %s', (text, encrypted, origin) => {
  expect(targetOrigin(text, encrypted)).toBe(origin)
})

test.each(['', 'http://', 'https://user:secret@host:8443', '/var/run/x'])('%j names no host', (text) => {
  expect(() => targetOrigin(text, false)).toThrow('names no host')
})

const over = (answer: JsonAnswer | Error) =>
  remoteTarget('http://host-b:8080', {
    post: () => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)),
  })
const signal = AbortSignal.timeout(60_000)
const ID = '11111111-2222-4333-8444-555555555555'

test('what the target says of the migration is passed on; everything else leaves open whether it was heard', async () => {
  const ask = (answer: JsonAnswer | Error) => over(answer).finish(ID, ID, undefined, signal)
  expect(await ask({ status: 200, json: { state: 'arrived', cookie: '' } })).toEqual({ state: 'arrived', cookie: '' })
  await expect(ask({ status: 409, json: { error: 'migration_failed', message: 'it is over' } })).rejects.toMatchObject({
    reason: 'MIGRATION_FAILED',
    message: 'it is over',
  })
  for (const answer of [
    new AgentError('INTERNAL', 'connect ECONNREFUSED'),
    { status: 200, json: { state: 'somewhere' } },
    { status: 200, json: undefined },
    { status: 404, json: { error: 'vm_not_found', message: 'VM not there' } },
    { status: 502, json: undefined },
  ])
    await expect(ask(answer)).rejects.toMatchObject({ reason: 'MIGRATION_PEER_UNAVAILABLE' })
})
