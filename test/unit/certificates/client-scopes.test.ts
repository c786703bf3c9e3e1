import { describe, expect, it } from 'vitest'
import { alternativeNames } from '../../../src/certificates/certificate-facts.ts'
import { clientIdentity, requireScope, type Scope } from '../../../src/certificates/client-scopes.ts'
import { isAgentError } from '../../../src/core/errors.ts'

const LATER = 'Jan  1 00:00:00 2099 GMT'
const peer = (subject: object, subjectaltname?: string, valid_to = LATER) =>
  clientIdentity({ subject, subjectaltname, valid_to } as Parameters<typeof clientIdentity>[0])

function outcome(client: ReturnType<typeof peer> | undefined, scope: Scope | undefined): string {
  try {
    requireScope(client, scope, 'DoIt')
    return 'allowed'
  } catch (error) {
    return isAgentError(error) ? error.reason : String(error)
  }
}

describe('scopes of a certificate', () => {
  it.each([
    [{ OU: 'read' }, undefined, ['read']],
    [{ OU: 'vm' }, undefined, ['read', 'vm']],
    [{ OU: ['storage', 'vm'] }, undefined, ['read', 'vm', 'storage']],
    [{ OU: 'admin' }, undefined, ['read', 'vm', 'storage', 'admin']],
    [{ OU: 'Sales' }, undefined, []],
    [{}, undefined, []],
    [{ OU: 'ADMIN' }, undefined, []],
    [{}, 'DNS:x, URI:urn:limiquantix:scope:vm', ['read', 'vm']],
    [{}, 'DNS:urn:limiquantix:scope:admin', []],
    [{}, 'URI:urn:limiquantix:scope:root', []],
    [{}, 'DNS:"x, URI:urn:limiquantix:scope:admin, DNS:y"', []],
    [{}, 'URI:"urn:limiquantix:scope:admin"', []],
  ])('%j with %s has %j', (subject, names, scopes) => {
    expect(peer(subject, names).scopes).toEqual(scopes)
  })

  it('decide over calls, each refusal with its own reason', () => {
    expect(outcome(peer({ OU: 'vm' }), 'vm')).toBe('allowed')
    expect(outcome(peer({ OU: 'vm' }), 'read')).toBe('allowed')
    expect(outcome(peer({ OU: 'vm' }), 'storage')).toBe('SCOPE_MISSING')
    expect(outcome(peer({ OU: 'admin' }), undefined)).toBe('SCOPE_UNKNOWN')
    expect(outcome(undefined, 'read')).toBe('CLIENT_CERTIFICATE_MISSING')
    expect(outcome(peer({ OU: 'admin' }, undefined, 'Jan  1 00:00:00 2020 GMT'), 'read')).toBe(
      'CLIENT_CERTIFICATE_EXPIRED',
    )
    expect(outcome(peer({ OU: 'admin' }, undefined, 'garbage'), 'read')).toBe('CLIENT_CERTIFICATE_EXPIRED')
  })
})

describe('alternativeNames', () => {
  it('leaves out quoted values', () => {
    const text = 'DNS:a, IP Address:192.0.2.1, DNS:"b, DNS:c", URI:x'
    expect(alternativeNames(text, 'DNS', 'IP Address')).toEqual(['a', '192.0.2.1'])
    expect(alternativeNames(undefined, 'DNS')).toEqual([])
  })
})
