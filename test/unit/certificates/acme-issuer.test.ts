import { expect, test } from 'vitest'
import { AcmeIssuer } from '../../../src/certificates/acme/acme-issuer.ts'
import { HostCertificate } from '../../../src/certificates/host-certificate.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { silentLogger } from '../../../src/core/context.ts'

test('an attempt that cannot even begin is told of, and is over', async () => {
  const [cert, key, ca] = ['/nowhere/server.crt', '/nowhere/server.key', '/nowhere/ca.crt']
  const certificate = new HostCertificate({
    paths: { cert, key, ca },
    mode: 'self-signed',
    used: false,
    commonName: undefined,
    validityDays: 30,
    names: async () => ['hv-1'],
    log: silentLogger,
  })
  const issuer = new AcmeIssuer({
    settings: {
      enabled: true,
      domains: [],
      email: '',
      directoryUrl: 'https://acme.invalid/dir',
      accountPath: '/nowhere/account.json',
      autoRenew: true,
      renewBeforeDays: 30,
    },
    certificate,
    openExchange: async () => {
      throw new AgentError('CERTIFICATE_INVALID', '/nowhere/ca.pem has no certificate in it')
    },
    serveChallenges: async () => ({ close: async () => undefined }),
    log: silentLogger,
  })
  const { signal } = new AbortController()
  await expect(issuer.register('a@a.example', signal)).rejects.toMatchObject({ reason: 'CERTIFICATE_INVALID' })
  expect(issuer.status()).toMatchObject({ issuing: false, lastError: '/nowhere/ca.pem has no certificate in it' })
})
